// SPDX-License-Identifier: Apache-2.0
// Every rule of VM entry, broken alone: on the machine itself and under L0 software sees what the row says, and both
// name the row. What no profile can reach is listed, with the reason.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BASIC_CHECKS } from '../../src/arch/vmx/basic-checks.ts';
import { ENTRY_CHECKS, findEntryCheck } from '../../src/arch/vmx/entry-checks.ts';
import { ROWS, firstFailed } from '../../src/arch/vmx/entry-check-examples.test.ts';
import type { Row } from '../../src/arch/vmx/entry-check-examples.test.ts';
import type { EntryRule } from '../../src/arch/vmx/entry-check-row.ts';
import { exampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { MSR_LOAD_CHECKS } from '../../src/arch/vmx/msr-load-rules.ts';
import { PROFILES, PROFILE_NAMES } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { RunRecorder } from '../../src/trace/recorder.ts';
import { Entering } from './entering.ts';
import type { Ending } from './entering.ts';
import { HOW } from './l1.ts';

/** Rules that can be broken on neither profile: what would have to exist, and the ids. */
// prettier-ignore
const UNREACHABLE: readonly (readonly [because: string, ids: RegExp])[] = [
  ['no profile shows "virtualize x2APIC mode", which is reported first',        /^controls\.x2apic-mode\./],
  ['no profile shows "APIC-register virtualization"',                           /^controls\.apic-register\./],
  ['no profile shows "virtual-interrupt delivery"',                             /^controls\.virtual-interrupt-delivery\./],
  ['no profile shows "process posted interrupts"',                              /^controls\.posted-interrupts\./],
  ['no profile shows "enable PML"',                                             /^controls\.pml/],
  ['no profile shows "mode-based execute control for EPT"',                     /^controls\.mode-based-execute\./],
  ['no profile shows "sub-page write permissions for EPT"',                     /^controls\.sub-page/],
  ['no profile shows "enable VM functions"',                                    /^controls\.(vm-functions|eptp-switching|eptp-list)/],
  ['no profile shows "EPT-violation #VE"',                                      /^controls\.ve-information/],
  ['no profile shows "Intel PT uses guest physical addresses"',                 /^controls\.pt-guest-physical/],
  ['no profile shows "entry to SMM" or "deactivate dual-monitor treatment"',    /^controls\.entry\.(to-smm|dual-monitor|smm-exclusive)$/],
  ['the processor has no SMM',                                                  /^guest\.(activity|interruptibility)\.smm$/],
  ['the processor has no CET: CR4.CET is fixed to 0, "load CET state" not shown', /^(host|guest)\.(cr4\.cet|s-cet|interrupt-ssp-table|ssp\..*|size\.ssp-.*)$/],
  ['no profile shows "load IA32_PERF_GLOBAL_CTRL"',                             /^(host|guest)\.perf-global-ctrl$/],
  ['no profile shows "load PKRS"',                                              /^(host|guest)\.pkrs$/],
  ['no profile shows "load IA32_BNDCFGS"',                                      /^guest\.bndcfgs\./],
  ['no profile shows "load UINV"',                                              /^guest\.uinv$/],
  ['the processor has no RTM: a pending RTM breaks guest.pending-debug.rtm',    /^guest\.pending-debug\.rtm-/],
];

interface Level {
  readonly name: 'bare' | 'L0';
  readonly long: Entering;
  readonly legacy: Entering;
  /** Ids of the rules that failed entries broke. */
  readonly broken: string[];
}

function level(profile: ProfileName, name: 'bare' | 'L0'): Level {
  const recorder = new RunRecorder();
  const broken: string[] = [];
  recorder.onFailedEntry = ({ rule }) => void broken.push(rule.id);
  const entering = (long: boolean): Entering => new Entering(profile, name, long, recorder);
  return { name, long: entering(true), legacy: entering(false), broken };
}

/** What software sees when this rule is broken. */
function expected({ failure }: EntryRule, entry = 0): Ending {
  if (failure.kind !== 'exit') return failure;
  const qualification = failure.qualification === 'entry' ? entry : failure.qualification;
  return { kind: 'exit', reason: (failure.reason | 0x80000000) >>> 0, qualification: BigInt(qualification) };
}

/** The VMCS of an example on this profile's processor, with the small L1 as its host. */
function brokenVmcs([, from, broken]: Row, { long, legacy }: Level): { vmcs: ExampleVmcs; on: Entering } {
  const vmcs = exampleVmcs(long.capabilities);
  const { facts } = vmcs.context;
  long.withHost(vmcs);
  from(vmcs);
  broken(vmcs);
  // What an example says of the processor is not for this one.
  vmcs.context.facts = facts;
  return { vmcs, on: vmcs.context.longModeActive ? long : legacy };
}

const isBroken = (row: Row, profile: Level): boolean => {
  const { vmcs } = brokenVmcs(row, profile);
  return !vmcs.context.inSmm && firstFailed(vmcs)?.id === row[0];
};

for (const profile of PROFILE_NAMES) {
  describe(`rules of VM entry, broken one by one on ${profile}`, () => {
    const [bare, underL0] = [level(profile, 'bare'), level(profile, 'L0')];

    /** Both ways the entry ends as the rule says, names it, and leaves the same VMCS. */
    function assertBreaks(rule: EntryRule, enter: (on: Level) => readonly [Ending, Entering], entry?: number): void {
      const regions = [bare, underL0].map((on) => {
        on.broken.length = 0;
        const [ending, entering] = enter(on);
        assert.deepEqual(ending, expected(rule, entry), on.name);
        assert.deepEqual(on.broken, [rule.id], on.name);
        return FIELDS.map(({ name }) => `${name}: ${entering.get(name)}`);
      });
      assert.deepEqual(regions[1], regions[0], 'the VMCS is left the same');
    }

    it('L1 is shown the same processor under L0', () => {
      assert.deepEqual(underL0.long.capabilities, PROFILES[profile]);
    });

    for (const row of ROWS.filter((example) => isBroken(example, bare))) {
      it(row[0], () =>
        assertBreaks(findEntryCheck(row[0])!, (on) => {
          const { vmcs, on: entering } = brokenVmcs(row, on);
          return [entering.enter(vmcs), entering];
        }),
      );
    }

    const valid = (on: Level): ExampleVmcs => {
      const vmcs = exampleVmcs(on.long.capabilities);
      on.long.withHost(vmcs);
      return vmcs;
    };
    const basic: Readonly<Record<string, readonly [how: number, change?: (vmcs: ExampleVmcs) => void]>> = {
      'basic.current-vmcs': [HOW.withoutVmptrld],
      'basic.shadow': [0, ({ view }) => void (view.words[0] = (view.words[0]! | 0x80000000) >>> 0)],
      'basic.mov-ss': [HOW.movSs],
      'basic.launch.clear': [HOW.again],
      'basic.resume.launched': [HOW.resume],
    };
    for (const rule of BASIC_CHECKS) {
      // Only a processor with VMCS shadowing can have a shadow VMCS as its current one.
      if (rule.id === 'basic.shadow' && profile === 'paper-1') continue;
      it(rule.id, () =>
        assertBreaks(rule, (on) => {
          const [how, change] = basic[rule.id]!;
          const vmcs = valid(on);
          change?.(vmcs);
          return [on.long.enter(vmcs, how), on.long];
        }),
      );
    }

    const [LIST, KERNEL_GS_BASE, APIC_BASE, X2APIC_ENABLED] = [0x8000, 0xc0000102, 0x1b, 0xfee00d00];
    const entries: Readonly<Record<string, readonly [index: number, reserved: number, low: number]>> = {
      'msr.fs-base': [0xc0000100, 0, 0],
      'msr.gs-base': [0xc0000101, 0, 0],
      'msr.bios-update': [0x79, 0, 0],
      'msr.bios-sign-id': [0x8b, 0, 0],
      'msr.smm-monitor': [0x9b, 0, 0],
      'msr.x2apic': [0x808, 0, 0],
      'msr.reserved': [KERNEL_GS_BASE, 1, 0],
      'msr.write': [0x277, 0, 2],
    };
    // The list of the last one puts L1's local APIC into x2APIC mode, for good.
    const last = MSR_LOAD_CHECKS.filter(({ id }) => id === 'msr.x2apic');
    for (const rule of [...MSR_LOAD_CHECKS.filter(({ id }) => id !== 'msr.x2apic'), ...last]) {
      it(`${rule.id}, in entry 2 of 3`, () =>
        assertBreaks(
          rule,
          (on) => {
            const vmcs = valid(on);
            const [index, reserved, low] = entries[rule.id]!;
            vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', LIST);
            vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 3);
            for (const i of [0, 1, 2]) vmcs.memory.set(LIST + 16 * i, KERNEL_GS_BASE);
            if (last.includes(rule))
              [APIC_BASE, 0, X2APIC_ENABLED].forEach((word, i) => vmcs.memory.set(LIST + 4 * i, word));
            [index, reserved, low].forEach((word, i) => vmcs.memory.set(LIST + 16 + 4 * i, word));
            return [on.long.enter(vmcs), on.long];
          },
          2,
        ));
    }
  });
}

describe('the rules that no profile reaches', () => {
  it('are exactly those listed', () => {
    const levels = PROFILE_NAMES.map((profile) => level(profile, 'bare'));
    const unreached = ROWS.filter((row) => !levels.some((on) => isBroken(row, on))).map(([id]) => id);
    const listed = ENTRY_CHECKS.map(({ id }) => id).filter((id) => UNREACHABLE.some(([, ids]) => ids.test(id)));
    assert.deepEqual(unreached.sort(), listed.sort());
  });
  it('each reason is that of a rule', () => {
    const rules = [...ENTRY_CHECKS, ...MSR_LOAD_CHECKS];
    for (const [because, ids] of UNREACHABLE)
      assert.ok(
        rules.some(({ id }) => ids.test(id)),
        because,
      );
  });
});
