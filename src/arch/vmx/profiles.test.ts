// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { extract } from './bit-field.ts';
import { BASIC_HIGH, eptSupports, mayBeOne, miscOf, mustBeOne, supports, vpidSupports } from './capabilities.ts';
import { CONTROLS, CONTROL_GROUPS } from './controls.ts';
import type { ControlKey } from './controls.ts';
import { PROFILES, PROFILE_CONTROLS, PROFILE_NAMES, VMCS_REVISION_ID } from './profiles.ts';

/** What a current Linux KVM refuses to start without. */
const KVM_NEEDS: readonly ControlKey[] = [
  'pin.EXTERNAL_INTERRUPT_EXITING',
  'pin.NMI_EXITING',
  'primary.HLT_EXITING',
  'primary.CR3_LOAD_EXITING',
  'primary.CR3_STORE_EXITING',
  'primary.CR8_LOAD_EXITING',
  'primary.CR8_STORE_EXITING',
  'primary.UNCONDITIONAL_IO_EXITING',
  'primary.MOV_DR_EXITING',
  'primary.USE_TSC_OFFSETTING',
  'primary.MWAIT_EXITING',
  'primary.MONITOR_EXITING',
  'primary.INVLPG_EXITING',
  'primary.RDPMC_EXITING',
  'primary.INTERRUPT_WINDOW_EXITING',
  'entry.LOAD_DEBUG_CONTROLS',
  'entry.IA32E_MODE_GUEST',
  'exit.SAVE_DEBUG_CONTROLS',
  'exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT',
  'exit.HOST_ADDRESS_SPACE_SIZE',
];

/** Without these KVM silently does without EPT or VPID. */
const KVM_NEEDS_OF_EPT = ['PAGE_WALK_LENGTH_4', 'MEMORY_TYPE_WB', 'INVEPT', 'INVEPT_ALL_CONTEXT'] as const;
const KVM_NEEDS_OF_VPID = ['INVVPID', 'INVVPID_SINGLE_CONTEXT', 'INVVPID_ALL_CONTEXT'] as const;

/** design.md: what the modern profile shows beyond the paper's. */
const MODERN_ONLY: readonly ControlKey[] = [
  'pin.ACTIVATE_VMX_PREEMPTION_TIMER',
  'primary.MONITOR_TRAP_FLAG',
  'secondary.UNRESTRICTED_GUEST',
  'secondary.VMCS_SHADOWING',
  'secondary.ENABLE_INVPCID',
  'secondary.ENABLE_RDTSCP',
  'secondary.ENABLE_XSAVES_XRSTORS',
  'secondary.WBINVD_EXITING',
  'secondary.DESCRIPTOR_TABLE_EXITING',
  'secondary.RDRAND_EXITING',
  'secondary.RDSEED_EXITING',
  'secondary.PAUSE_LOOP_EXITING',
  'secondary.USE_TSC_SCALING',
  'exit.LOAD_IA32_PAT',
  'exit.LOAD_IA32_EFER',
  'entry.LOAD_IA32_PAT',
  'entry.LOAD_IA32_EFER',
];

/** Neither has them: APICv and posted interrupts come later. */
const NEITHER: readonly ControlKey[] = [
  'pin.PROCESS_POSTED_INTERRUPTS',
  'secondary.APIC_REGISTER_VIRTUALIZATION',
  'secondary.VIRTUAL_INTERRUPT_DELIVERY',
  'secondary.VIRTUALIZE_X2APIC_MODE',
  'secondary.ENABLE_PML',
  'secondary.ENABLE_VM_FUNCTIONS',
  'primary.ACTIVATE_TERTIARY_CONTROLS',
  'exit.ACTIVATE_SECONDARY_CONTROLS',
];

for (const name of PROFILE_NAMES) {
  describe(`profile ${name}`, () => {
    const profile = PROFILES[name];

    it('never demands what it does not allow', () => {
      for (const { capability, trueCapability } of CONTROL_GROUPS) {
        for (const msr of [profile[capability], trueCapability && profile[trueCapability]]) {
          if (msr !== undefined) assert.equal(msr.low & ~msr.high, 0, capability);
        }
      }
      assert.equal(profile.IA32_VMX_CR0_FIXED0!.low & ~profile.IA32_VMX_CR0_FIXED1!.low, 0);
      assert.equal(profile.IA32_VMX_CR4_FIXED0!.low & ~profile.IA32_VMX_CR4_FIXED1!.low, 0);
    });

    it('shows the same allowed 1-settings with and without TRUE, and relaxes only default1', () => {
      for (const { group, capability, trueCapability, default1 } of CONTROL_GROUPS) {
        if (trueCapability === undefined) continue;
        const [plain, strict] = [profile[capability]!, profile[trueCapability]!];
        assert.equal(plain.high, strict.high, group);
        assert.equal(plain.low, default1.reduce((mask, bit) => mask | (1 << bit), 0) >>> 0, group);
        assert.equal(strict.low & ~plain.low, 0, group);
      }
    });

    it('shows what KVM needs', () => {
      for (const key of KVM_NEEDS) assert.ok(supports(profile, key), key);
      for (const part of KVM_NEEDS_OF_EPT) assert.ok(eptSupports(profile, part), part);
      for (const part of KVM_NEEDS_OF_VPID) assert.ok(vpidSupports(profile, part), part);
      const basic = profile.IA32_VMX_BASIC!.high;
      assert.equal(extract(BASIC_HIGH.MEMORY_TYPE, basic), 6);
      assert.equal(extract(BASIC_HIGH.VMCS_REGION_SIZE, basic), 4096);
      assert.equal(extract(BASIC_HIGH.PHYSICAL_ADDRESSES_32BIT, basic), 0);
      assert.ok(supports(profile, 'pin.VIRTUAL_NMIS') && supports(profile, 'secondary.ENABLE_VPID'));
    });

    it('lets CR3 accesses and debug controls go without exiting', () => {
      assert.equal(mustBeOne(profile, 'primary') & 0x18000, 0);
      assert.equal((mustBeOne(profile, 'exit') | mustBeOne(profile, 'entry')) & 4, 0);
    });

    it('shows both sides of each load', () => {
      for (const msr of ['IA32_PAT', 'IA32_EFER'] as const) {
        assert.equal(supports(profile, `entry.LOAD_${msr}`), supports(profile, `exit.LOAD_${msr}`));
      }
    });

    it('allows exactly the controls of its rows, and default1', () => {
      const listed = new Set(
        PROFILE_CONTROLS.filter(([, shown]) => shown[PROFILE_NAMES.indexOf(name)]).map(([key]) => key),
      );
      for (const { group, bit, name: control } of CONTROLS) {
        const key = `${group}.${control}` as ControlKey;
        const default1 = CONTROL_GROUPS.find((row) => row.group === group)!.default1.includes(bit);
        assert.equal(supports(profile, key), listed.has(key) || default1, key);
      }
      for (const key of NEITHER) assert.equal(supports(profile, key), false, key);
      assert.equal(profile.IA32_VMX_VMFUNC, undefined);
      assert.equal(mayBeOne(profile, 'tertiary'), 0);
    });

    it('reports its misc facts', () => {
      assert.deepEqual(
        (['CR3_TARGET_VALUES', 'ACTIVITY_HLT', 'ACTIVITY_SHUTDOWN', 'ACTIVITY_WAIT_FOR_SIPI'] as const).map((part) =>
          miscOf(profile, part),
        ),
        [4, 1, 1, 1],
      );
      assert.equal(miscOf(profile, 'EXIT_STORES_LMA'), supports(profile, 'secondary.UNRESTRICTED_GUEST') ? 1 : 0);
      assert.equal(profile.IA32_VMX_BASIC!.low, VMCS_REVISION_ID);
      assert.ok(VMCS_REVISION_ID < 0x80000000);
    });
  });
}

describe('the two profiles', () => {
  it('differ as the design says', () => {
    for (const key of MODERN_ONLY) {
      assert.ok(supports(PROFILES['modern-1'], key), key);
      assert.ok(!supports(PROFILES['paper-1'], key), key);
    }
    for (const part of ['ACCESSED_DIRTY', 'EXECUTE_ONLY', 'PAGE_1GB'] as const) {
      assert.deepEqual(
        PROFILE_NAMES.map((name) => eptSupports(PROFILES[name], part)),
        [false, true],
        part,
      );
    }
    for (const part of ['VMWRITE_ANY_FIELD', 'ZERO_LENGTH_INJECTION'] as const) {
      assert.deepEqual(
        PROFILE_NAMES.map((name) => miscOf(PROFILES[name], part)),
        [0, 1],
        part,
      );
    }
    assert.ok(vpidSupports(PROFILES['modern-1'], 'INVVPID_INDIVIDUAL_ADDRESS'));
    assert.ok(vpidSupports(PROFILES['modern-1'], 'INVVPID_RETAINING_GLOBALS'));
  });

  it('leave KVM its preemption timer at 1 GHz', () => {
    const perSecond = 1e9 / 2 ** miscOf(PROFILES['modern-1'], 'PREEMPTION_TIMER_RATE');
    assert.ok(perSecond <= 0xffffffff / 10);
  });

  // Written down once, so that a change of a published profile does not pass unseen.
  it('are what snapshots already name', () => {
    const words = PROFILE_NAMES.map((name) =>
      Object.entries(PROFILES[name]).map(([msr, { low, high }]) => `${msr} ${high.toString(16)}:${low.toString(16)}`),
    );
    assert.deepEqual(words[0], [
      'IA32_VMX_PINBASED_CTLS 3f:16',
      'IA32_VMX_TRUE_PINBASED_CTLS 3f:16',
      'IA32_VMX_PROCBASED_CTLS f7f9fffe:401e172',
      'IA32_VMX_TRUE_PROCBASED_CTLS f7f9fffe:4006172',
      'IA32_VMX_PROCBASED_CTLS2 23:0',
      'IA32_VMX_EXIT_CTLS 3efff:36dff',
      'IA32_VMX_TRUE_EXIT_CTLS 3efff:36dfb',
      'IA32_VMX_ENTRY_CTLS 13ff:11ff',
      'IA32_VMX_TRUE_ENTRY_CTLS 13ff:11fb',
      'IA32_VMX_BASIC d81000:74070001',
      'IA32_VMX_MISC 0:401c5',
      'IA32_VMX_CR0_FIXED0 0:80000021',
      'IA32_VMX_CR0_FIXED1 0:ffffffff',
      'IA32_VMX_CR4_FIXED0 0:2000',
      'IA32_VMX_CR4_FIXED1 0:372fff',
      'IA32_VMX_VMCS_ENUM 0:2a',
      'IA32_VMX_EPT_VPID_CAP 601:6114140',
    ]);
    assert.deepEqual(words[1], [
      'IA32_VMX_PINBASED_CTLS 7f:16',
      'IA32_VMX_TRUE_PINBASED_CTLS 7f:16',
      'IA32_VMX_PROCBASED_CTLS fff9fffe:401e172',
      'IA32_VMX_TRUE_PROCBASED_CTLS fff9fffe:4006172',
      'IA32_VMX_PROCBASED_CTLS2 2115cef:0',
      'IA32_VMX_EXIT_CTLS 7fefff:36dff',
      'IA32_VMX_TRUE_EXIT_CTLS 7fefff:36dfb',
      'IA32_VMX_ENTRY_CTLS d3ff:11ff',
      'IA32_VMX_TRUE_ENTRY_CTLS d3ff:11fb',
      'IA32_VMX_BASIC d81000:74070001',
      'IA32_VMX_MISC 0:600401e5',
      'IA32_VMX_CR0_FIXED0 0:80000021',
      'IA32_VMX_CR0_FIXED1 0:ffffffff',
      'IA32_VMX_CR4_FIXED0 0:2000',
      'IA32_VMX_CR4_FIXED1 0:372fff',
      'IA32_VMX_VMCS_ENUM 0:32',
      'IA32_VMX_EPT_VPID_CAP f01:6334141',
    ]);
  });
});
