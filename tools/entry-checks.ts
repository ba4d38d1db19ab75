// SPDX-License-Identifier: Apache-2.0
// `npm run docs`: writes docs/entry-checks.md, the rules of VM entry as people read them, from the rows.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BASIC_CHECKS } from '../src/arch/vmx/basic-checks.ts';
import { ENTRY_CHECK_GROUPS } from '../src/arch/vmx/entry-checks.ts';
import type { EntryRule } from '../src/arch/vmx/entry-check-row.ts';
import { ENTRY_FAILURE_BIT } from '../src/arch/vmx/exit-reasons.ts';
import { MSR_LOAD_CHECKS } from '../src/arch/vmx/msr-load-rules.ts';
import { SDM_REVISION } from '../src/arch/manual.ts';

export const ENTRY_CHECKS_FILE = fileURLToPath(new URL('../docs/entry-checks.md', import.meta.url));

/** Rules of one section; `when`: they apply only then. */
interface Part {
  readonly section: string;
  readonly when: string | undefined;
  readonly rules: readonly EntryRule[];
}

const PARTS: readonly Part[] = [
  { section: BASIC_CHECKS[0].section, when: undefined, rules: BASIC_CHECKS },
  ...ENTRY_CHECK_GROUPS.map(({ checks, when }) => ({
    section: checks[0].section,
    when: when?.sentence,
    rules: checks,
  })),
  { section: MSR_LOAD_CHECKS[0].section, when: undefined, rules: MSR_LOAD_CHECKS },
];

function seen({ failure }: EntryRule): string {
  if (failure.kind === 'VMfailInvalid') return 'VMfailInvalid';
  if (failure.kind === 'VMfailValid') return `VMfailValid ${failure.error}`;
  const reason = ((failure.reason | ENTRY_FAILURE_BIT) >>> 0).toString(16);
  return `exit 0x${reason}, ${failure.qualification === 'entry' ? 'number of the entry' : failure.qualification}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

function row(rule: EntryRule): string {
  const memory = rule.memory === undefined ? [] : [`(memory) ${rule.memory}`];
  const reads = [...[...new Set(rule.reads)].map((field) => `\`${field}\``), ...memory].join(', ') || '–';
  return `| \`${rule.id}\` | ${cell(rule.sentence)} | ${cell(reads)} | ${seen(rule)} |\n`;
}

function tables(): string {
  let text = '';
  let section = '';
  for (const part of PARTS) {
    if (part.section !== section) text += `\n## ${part.section}\n`;
    section = part.section;
    if (part.when !== undefined) text += `\nOnly if ${part.when}:\n`;
    text += `\n| rule | what must hold | reads | if not, software sees |\n| --- | --- | --- | --- |\n${part.rules.map(row).join('')}`;
  }
  return text;
}

/** The whole file. */
export function entryChecksDocument(): string {
  const count = PARTS.reduce((sum, { rules }) => sum + rules.length, 0);
  return `# What VM entry checks

Made by \`npm run docs\` from the rows in \`src/arch/vmx\`; sections are those of the SDM, ${SDM_REVISION}.
${count} rules, in the order in which the first broken one is reported. The machine enforces them on the VMCS that VMLAUNCH and VMRESUME find, L0 on L1's.

"VMfailValid" sets ZF, with the number in the VM-instruction error field; "VMfailInvalid" sets CF. "exit" is a VM exit with this reason and exit qualification.
Which rules no processor profile can reach (CET, SMM, posted interrupts and others), and why, is in \`tests/entries/rows.test.ts\`.

When an entry fails, \`turtles run\` and \`turtles qemu\` print the rule, the value of each field it reads, the instruction that wrote it, and what that level's hypervisor sees. Of Debian's KVM (\`tests/boot/failed-entry.test.ts\`):

    VM entry failed: VMLAUNCH by L1 at __vmx_vcpu_run+0x96 [kvm_intel]  (instruction 2,290,817,868)
      rule    guest.cs.type — must hold: the CS type is 9, 11, 13 or 15, or 3 with "unrestricted guest"      SDM 27.3.1.2 Checks on Guest Segment Registers
      field   GUEST_CS_AR_BYTES = 0x00000091
      written VMWRITE at __vmx_set_segment+0x105 [kvm_intel], 232,934 instructions earlier
      field   CPU_BASED_VM_EXEC_CONTROL = 0xb5986dfa
      written VMWRITE at init_vmcs+0x12c [kvm_intel], 281,708 instructions earlier
      field   SECONDARY_VM_EXEC_CONTROL = 0x02010ce2
      written VMWRITE at init_vmcs+0x130f [kvm_intel], 281,517 instructions earlier
      L1 sees exit reason 0x80000021, qualification 0

* \`written\` can also be: \`saved by the VM exit at instruction N\` (the exit found another value in the guest than the field had), \`in memory, not by VMWRITE\`, \`not since VMCLEAR\`, and with \`before the last VMCLEAR\`. It is right for VMWRITEs that exit to L0 and for those that VMCS shadowing lets pass.
* Names come from \`--symbols FILE\` (what nm prints, System.map, /proc/kallsyms), from the kernel's file if it is ELF with a symbol table, or else out of the memory of a running Linux 6.1: its kallsyms and its modules' symbol tables, where KASLR has put them.
* One place that breaks one rule again and again is explained once, and no more than 20 are. \`--on-entry-failure stop\` ends the run at the first, with status 5 (\`turtles qemu\`: 68).
${tables()}`;
}

if (import.meta.main) writeFileSync(ENTRY_CHECKS_FILE, entryChecksDocument());
