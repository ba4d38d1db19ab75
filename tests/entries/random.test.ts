// SPDX-License-Identifier: Apache-2.0
// Random VMCSs that break no rule: each enters its guest on the machine itself and under L0, and every field of the VMCS
// is the same after the first exit.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENTRY_FAILURE_BIT, exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import { exampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { ENTRY, PIN } from '../../src/arch/vmx/controls.ts';
import { PROFILE_NAMES } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { GUEST_MODES } from '../../src/arch/vmx/random-guest.testing.ts';
import { randomVmcs } from '../../src/arch/vmx/random-vmcs.testing.ts';
import { Entering } from './entering.ts';
import type { Under } from './entering.ts';
import { CODE_IN_MEMORY, PLACES, longGuest, prepareGuestMemory } from './guest-memory.ts';

const STATES = 1000;

function entering(profile: ProfileName, under: Under): Entering {
  const result = new Entering(profile, under, true);
  prepareGuestMemory(result);
  return result;
}

/** The name of the first exit, and every field after it. */
function enter(on: Entering, vmcs: ExampleVmcs): readonly string[] {
  const ending = on.enter(vmcs);
  assert.ok(ending.kind === 'exit' && ending.reason < ENTRY_FAILURE_BIT, `the guest was entered: ${JSON.stringify(ending, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}`); // prettier-ignore
  return [exitReason(ending.reason)!.name, ...FIELDS.map(({ name }) => `${name} ${on.get(name).toString(16)}`)];
}

for (const profile of PROFILE_NAMES) {
  describe(`random valid VMCSs on ${profile}`, () => {
    it(`${STATES} of them enter, bare and under L0, and leave the same`, () => {
      const [bare, underL0] = [entering(profile, 'bare'), entering(profile, 'L0')];
      const seen = new Map<string, number>();
      for (let seed = 1; seed <= STATES; seed++) {
        const make = (on: Entering) => randomVmcs(seed, on.capabilities, PLACES, { withHost: (v) => on.withHost(v) });
        const vmcs = make(bare);
        const fields = enter(bare, vmcs);
        assert.deepEqual(enter(underL0, make(underL0)), fields, `seed ${seed}, ${vmcs.mode}`);
        for (const what of [vmcs.mode, fields[0]!]) seen.set(what, (seen.get(what) ?? 0) + 1);
      }
      const modes = GUEST_MODES.filter((mode) => profile === 'modern-1' || (mode !== 'real' && mode !== 'unpaged'));
      const reasons = ['CPUID', 'EXCEPTION_NMI', 'TRIPLE_FAULT', 'INTERRUPT_WINDOW', 'NMI_WINDOW'];
      const onlyModern = ['MONITOR_TRAP_FLAG', 'PREEMPTION_TIMER', 'EPT_VIOLATION'];
      for (const what of [...modes, ...reasons, ...(profile === 'modern-1' ? onlyModern : [])])
        assert.ok((seen.get(what) ?? 0) >= STATES / 200, `${what}: ${seen.get(what)} of ${STATES}`);
    });
    it('the generator is the same for the same seed', () => {
      const words = [1, 1, 2].map(
        (seed) => randomVmcs(seed, entering(profile, 'bare').capabilities, PLACES).view.words,
      );
      assert.deepEqual(words[0], words[1]);
      assert.notDeepEqual(words[0], words[2]);
    });
  });
}

describe('corners that random VMCSs found', () => {
  const machines = [entering('modern-1', 'bare'), entering('modern-1', 'L0')];
  const HLT = 0xf4;

  /** What a change of the 64-bit guest comes to, the same bare and under L0. */
  function exitOf(change: (vmcs: ExampleVmcs) => void): string {
    const [bare, underL0] = machines.map((on) => {
      const vmcs = exampleVmcs(on.capabilities);
      on.withHost(vmcs);
      longGuest(vmcs);
      change(vmcs);
      return enter(on, vmcs);
    });
    assert.deepEqual(underL0, bare);
    return bare![0]!;
  }
  const timer = (vmcs: ExampleVmcs): void => {
    vmcs.or('PIN_BASED_VM_EXEC_CONTROL', PIN.ACTIVATE_VMX_PREEMPTION_TIMER);
    vmcs.set('VMX_PREEMPTION_TIMER_VALUE', 20);
  };

  it('an NMI injected while NMIs are blocked, where L1 leaves NMIs to its guest', () => {
    const nmi = (vmcs: ExampleVmcs): void => {
      vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000202);
      vmcs.set('GUEST_INTERRUPTIBILITY_INFO', 8);
    };
    assert.equal(exitOf(nmi), 'CPUID');
    assert.equal(
      exitOf((vmcs) => (nmi(vmcs), vmcs.set('GUEST_IDTR_LIMIT', 0))),
      'TRIPLE_FAULT',
    );
  });
  it('a pending MTF VM exit injected without "monitor trap flag"', () => {
    assert.equal(
      exitOf((vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000700)),
      'MONITOR_TRAP_FLAG',
    );
  });
  it('shutdown and HLT end when the preemption timer does', () => {
    const shutdown = (vmcs: ExampleVmcs): void => vmcs.set('GUEST_ACTIVITY_STATE', 2);
    assert.equal(
      exitOf((vmcs) => (timer(vmcs), shutdown(vmcs))),
      'PREEMPTION_TIMER',
    );
    assert.equal(
      exitOf((vmcs) => (timer(vmcs), vmcs.set('GUEST_ACTIVITY_STATE', 1))),
      'PREEMPTION_TIMER',
    );
    for (const on of machines) on.fill(CODE_IN_MEMORY, Uint8Array.of(HLT));
    assert.equal(exitOf(timer), 'PREEMPTION_TIMER');
    prepareGuestMemory(machines[0]!);
    prepareGuestMemory(machines[1]!);
  });
  it('a pending debug exception survives an EPT violation that L1 does not see, in the delivery of the injected event', () => {
    const change = (vmcs: ExampleVmcs): void => {
      vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000020);
      vmcs.or('GUEST_RFLAGS', 0x200);
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x88000000);
      vmcs.or('SECONDARY_VM_EXEC_CONTROL', 2);
      vmcs.set('EPT_POINTER', PLACES.ept | 0x1e);
      vmcs.set('GUEST_PENDING_DBG_EXCEPTIONS', 0x1001);
    };
    assert.equal(exitOf(change), 'MONITOR_TRAP_FLAG');
  });
  it('IA32_DEBUGCTL.BTF in a field that is not loaded', () => {
    const change = (vmcs: ExampleVmcs): void => {
      vmcs.clear('VM_ENTRY_CONTROLS', ENTRY.LOAD_DEBUG_CONTROLS);
      vmcs.set('GUEST_IA32_DEBUGCTL', 2);
      vmcs.set('GUEST_RFLAGS', 0x302);
      vmcs.set('GUEST_INTERRUPTIBILITY_INFO', 2);
    };
    assert.equal(exitOf(change), 'CPUID');
  });
});
