// SPDX-License-Identifier: Apache-2.0
// What `turtles run` and `turtles qemu` say of failed VM entries: the rule, and which instruction wrote its fields, the
// same on the machine itself and under L0, where some VMWRITEs exit and others do not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { multiboot1Header } from '../../src/boot/synthetic-kernels.ts';
import { FakeHost } from '../../src/cli/fake-host.test.ts';
import { STATUS } from '../../src/cli/statuses.ts';
import { exampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import { ENCODING, FIELDS, OFFSET } from '../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import { PROFILES, VMCS_REVISION_ID } from '../../src/arch/vmx/profiles.ts';
import { SHADOWED_FIELDS } from '../../src/l0/nested/shadow-vmcs.ts';
import { assemble, dword } from '../machine/assembler.ts';
import { AT, CR0, CR4, LOAD_BYTES, SELECTOR, hostTables, prologue } from './l1.ts';
import type { FailedEntryFacts } from '../../src/debug/failed-entry-facts.ts';

const REGION = 0x143000;
const [TABLE, HEADER] = [0x150000, 32];
const GUEST_STACK = 0x160000;
const writeField = (name: FieldName, value: number): string =>
  `b8 ${dword(ENCODING[name])} b9 ${dword(value)} 0f 79 c1`;

// L1 writes all fields, enters, and then fails three times: after a VMWRITE, with a field that the exit saved, and with
// one that it wrote into the region's memory.
const { pieces, labels } = assemble(
  AT.load + HEADER,
  `${prologue(true)}
begin:
  66 b8 18 00 8e d8 8e c0 8e d0 bc ${dword(AT.stack)}
  be ${dword(AT.mailbox)} c7 06 ${dword(AT.vmxon)} c7 46 04 00 00 00 00
  f3 0f c7 36                                ; vmxon
  c7 06 ${dword(REGION)} 66 0f c7 36 0f c7 36 ; vmclear, vmptrld
  bf ${dword(TABLE)}                         ; mov edi, table
next:
  8b 07 48 8b 4f 08                          ; mov eax, [rdi]; mov rcx, [rdi+8]
filled:
  0f 79 c1 48 83 c7 10                       ; vmwrite rax, rcx; add rdi, 16
  83 3f ff 75 ~next
launch:
  0f 01 c2
  f4
guest:
  fb 0f a2                                   ; sti; cpuid
exited:
  be ${dword(AT.mailbox)}
  ff 46 20 8b 46 20                          ; count the exits
  83 f8 01 75 ~second
flags:
  ${writeField('GUEST_RFLAGS', 2)}           ; no IF, though STI blocks
resume:
  0f 01 c3
  f4
second:
  83 f8 02 0f 85 >third
  ${writeField('GUEST_RFLAGS', 0x202)}
rights:
  ${writeField('GUEST_CS_AR_BYTES', 0)}
again:
  0f 01 c3
  f4
third:
  83 f8 03 0f 85 >end
  ${writeField('GUEST_CS_AR_BYTES', 0xa09b)}
  66 0f c7 36                                ; vmclear
  c7 04 25 ${dword(REGION + OFFSET.GUEST_TR_LIMIT)} 00 00 f0 ff
  0f c7 36
relaunch:
  0f 01 c2
  f4
end:
  66 ba 04 06 66 b8 00 34 66 ef f4           ; power off
gdtr:
  27 00 =table
table:
  00 00 00 00 00 00 00 00
  ff ff 00 00 00 9b af 00
  ff ff 00 00 00 9b cf 00
  ff ff 00 00 00 93 cf 00
  67 00 00 00 00 89 00 00
`,
);

/** Every field of the example, with L1 itself as host and code of L1 as guest. */
function values(): readonly (readonly [FieldName, number, number])[] {
  const vmcs = exampleVmcs(PROFILES['modern-1']);
  // prettier-ignore
  const own: { readonly [Name in FieldName]?: number } = {
    HOST_CR0: CR0, HOST_CR3: AT.tables, HOST_CR4: CR4, HOST_RSP: AT.stack, HOST_RIP: labels.exited!, HOST_GDTR_BASE: labels.table!,
    HOST_IDTR_BASE: 0, HOST_TR_BASE: AT.gdt, HOST_CS_SELECTOR: SELECTOR.code64, HOST_SS_SELECTOR: SELECTOR.data, HOST_TR_SELECTOR: SELECTOR.tr,
    GUEST_CR3: AT.tables, GUEST_RIP: labels.guest!, GUEST_RSP: GUEST_STACK, GUEST_RFLAGS: 2,
  };
  for (const [name, value] of Object.entries(own) as [FieldName, number][]) vmcs.set(name, value);
  return FIELDS.filter(({ area, offset }) => area !== 'exitInformation' && (vmcs.view.low(offset) | vmcs.view.high(offset)) !== 0)
    .map(({ name, offset }) => [name, vmcs.view.low(offset), vmcs.view.high(offset)]); // prettier-ignore
}

function kernel(): Uint8Array {
  const bytes = new Uint8Array(LOAD_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(multiboot1Header(0x10000, AT.load, AT.load, 0, 0, AT.load + HEADER));
  for (const piece of pieces) bytes.set(piece.bytes, piece.address - AT.load);
  const put = (address: number, value: number): void => view.setUint32(address - AT.load, value, true);
  for (const [address, value] of hostTables()) put(address, value);
  for (const region of [AT.vmxon, REGION]) put(region, VMCS_REVISION_ID);
  const rows = values();
  rows.forEach(([name, low, high], i) =>
    [ENCODING[name], 0, low, high].forEach((word, j) => put(TABLE + 16 * i + 4 * j, word)),
  );
  put(TABLE + 16 * rows.length, 0xffffffff);
  return bytes;
}

const NAMES = ['begin', 'filled', 'launch', 'exited', 'flags', 'resume', 'rights', 'again', 'third', 'relaunch'];
const SYMBOLS = NAMES.map((name) => `${labels[name]!.toString(16).padStart(16, '0')} T ${name}\n`).join('');

async function run(...options: string[]) {
  const host = new FakeHost();
  host.files.set('k', kernel());
  host.files.set('symbols', Buffer.from(SYMBOLS));
  const status = await host.run(...options);
  return { status, errors: host.errors, files: host.files };
}
const RUN = ['run', 'linux', '--batch', '--kernel', 'k', '--memory', '64M', '--symbols', 'symbols'];
const OWNERS = [['--bare'], []] as const;

/** VMWRITE's place in the code that writes a constant: behind the two moves. */
const VMWRITE = 10;

describe('failed VM entries explained', () => {
  it('GUEST_RFLAGS is written without an exit under L0, GUEST_CS_AR_BYTES is not', () => {
    const access = (name: FieldName) => SHADOWED_FIELDS.find(([field]) => field === name)?.[1];
    assert.deepEqual([access('GUEST_RFLAGS'), access('GUEST_CS_AR_BYTES')], ['read and write', 'read']);
  });

  for (const owner of OWNERS) {
    it(`${owner[0] ?? 'under L0'}: VMWRITE, an exit, VMCLEAR and memory`, async () => {
      const { status, errors } = await run(...RUN, ...owner);
      assert.equal(status, STATUS.ok);
      const text = errors
        .replace(/\(instruction [\d,]+\)/g, '(instruction N)')
        .replace(/at instruction [\d,]*\d/g, 'at instruction N');
      assert.equal(text, `turtles: VM entry failed: VMRESUME by L1 at resume  (instruction N)
  rule    guest.interruptibility.sti-if — must hold: STI does not block if RFLAGS.IF is 0      SDM 27.3.1.5 Checks on Guest Non-Register State
  field   GUEST_INTERRUPTIBILITY_INFO = 0x00000001
  written saved by the VM exit at instruction N, 9 instructions earlier
  field   GUEST_RFLAGS = 0x0000000000000002
  written VMWRITE at flags+0x${VMWRITE.toString(16)}, 1 instruction earlier
  L1 sees exit reason 0x80000021, qualification 0
turtles: VM entry failed: VMRESUME by L1 at again  (instruction N)
  rule    guest.cs.type — must hold: the CS type is 9, 11, 13 or 15, or 3 with "unrestricted guest"      SDM 27.3.1.2 Checks on Guest Segment Registers
  field   GUEST_CS_AR_BYTES = 0x00000000
  written VMWRITE at rights+0x${VMWRITE.toString(16)}, 1 instruction earlier
  field   CPU_BASED_VM_EXEC_CONTROL = 0x04006172
  written VMWRITE at filled, ${distance('CPU_BASED_VM_EXEC_CONTROL')} instructions earlier
  field   SECONDARY_VM_EXEC_CONTROL = 0x00000000
  written not since VMCLEAR at instruction N
  L1 sees exit reason 0x80000021, qualification 0
turtles: VM entry failed: VMLAUNCH by L1 at relaunch  (instruction N)
  rule    guest.tr.granularity.page — must hold: G of the TR access rights is 1 if any of bits 31:20 of its limit is 1      SDM 27.3.1.2 Checks on Guest Segment Registers
  field   GUEST_TR_LIMIT = 0xfff00000
  written in memory, not by VMWRITE
  field   GUEST_TR_AR_BYTES = 0x0000008b
  written VMWRITE at filled, ${distance('GUEST_TR_AR_BYTES') + 16} instructions earlier, before the last VMCLEAR
  L1 sees exit reason 0x80000021, qualification 0
`); // prettier-ignore
    });
    it(`${owner[0] ?? 'under L0'}: --on-entry-failure stop ends the run at the first, with its own status`, async () => {
      const { status, errors } = await run(...RUN, ...owner, '--on-entry-failure', 'stop');
      assert.equal(status, STATUS.failedEntry);
      assert.equal(errors.match(/VM entry failed:/g)?.length, 1);
      assert.match(errors, /^turtles: a VM entry failed\n/m);
    });
  }

  it('--json has the same as data', async () => {
    const { files } = await run(...RUN, '--json', 'out');
    const { failedEntries } = JSON.parse(String(files.get('out'))) as { failedEntries: ReportedEntries };
    const [first, second, third] = failedEntries.explained;
    assert.deepEqual([failedEntries.count, failedEntries.explained.length], [3, 3]);
    const [interruptibility, flags] = first.fields;
    assert.deepEqual(
      { ...first, instruction: 0, fields: [] },
      {
        ...{ level: 1, processor: 0, by: 'VMRESUME', at: placeOf('resume'), instruction: 0 },
        ...{ rule: 'guest.interruptibility.sti-if', sentence: 'STI does not block if RFLAGS.IF is 0' },
        ...{ section: '27.3.1.5 Checks on Guest Non-Register State', fields: [] },
        sees: { kind: 'exit', reason: 33, qualification: 0 },
      },
    );
    assert.deepEqual(interruptibility, {
      ...{ name: 'GUEST_INTERRUPTIBILITY_INFO', value: '0x00000001' },
      written: { by: 'VM exit', instruction: first.instruction - 9, beforeVmclear: false },
    });
    assert.deepEqual(flags, {
      ...{ name: 'GUEST_RFLAGS', value: '0x0000000000000002' },
      written: {
        ...{ by: 'VMWRITE', at: placeOf('flags', VMWRITE) },
        ...{ instruction: first.instruction - 1, beforeVmclear: false },
      },
    });
    assert.equal(second.fields[2].written?.by, 'nobody');
    assert.deepEqual(
      third.fields.map(({ written }) => written?.by),
      ['memory', 'VMWRITE'],
    );
  });

  it('turtles qemu says it in warnings, and stops with status 68', async () => {
    const options = ['qemu', '-cpu', 'max,+vmx', '-kernel', 'k', '-m', '64', '-symbols', 'symbols'];
    const reported = await run(...options);
    assert.equal(reported.status, 0);
    assert.equal(
      reported.errors.match(/^turtles-qemu: warning: VM entry failed: VM(RESUME|LAUNCH) by L1/gm)?.length,
      3,
    );
    assert.deepEqual(reported.errors.split('\n').filter((text) => text !== '' && !text.startsWith('turtles-qemu: warning: ')), []); // prettier-ignore
    const stopped = await run(...options, '-on-entry-failure', 'stop');
    assert.equal(stopped.status, 68);
    assert.equal(stopped.errors.match(/VM entry failed:/g)?.length, 1);
  });
});

interface ReportedEntries {
  readonly count: number;
  readonly explained: readonly FailedEntryFacts[];
}

const placeOf = (name: string, offset = 0) => ({
  address: `0x${(labels[name]! + offset).toString(16)}`,
  symbol: offset === 0 ? name : `${name}+0x${offset.toString(16)}`,
});

/** From the VMWRITE in the table's order to the second failure. */
function distance(name: FieldName): number {
  const rows = values();
  const PER_ROW = 6;
  const after = rows.length - 1 - rows.findIndex(([field]) => field === name);
  return after * PER_ROW + TO_SECOND;
}
/** Instructions from the last VMWRITE of the table to the second failure. */
const TO_SECOND = 29;
