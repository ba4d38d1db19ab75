// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAPABILITY_MSRS,
  eptSupports,
  fieldExists,
  miscOf,
  supports,
  vpidSupports,
} from '../../arch/vmx/capabilities.ts';
import { CONTROLS } from '../../arch/vmx/controls.ts';
import { fieldNamed } from '../../arch/vmx/fields.ts';
import { PROFILES, PROFILE_NAMES } from '../../arch/vmx/profiles.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { SUPPORTED_CONTROLS, capabilitiesForL1, capabilityMsr } from './capabilities.ts';

describe('what L1 sees of VMX', () => {
  for (const name of PROFILE_NAMES) {
    it(`is under L0 what it is on the bare machine: ${name}`, () => {
      assert.deepEqual(capabilitiesForL1(PROFILES[name], 'multi-dimensional'), PROFILES[name]);
    });
    it(`shadow-on-EPT: the same without EPT and what needs it: ${name}`, () => {
      const shown = capabilitiesForL1(PROFILES[name], 'shadow-on-ept');
      assert.equal(supports(shown, 'secondary.ENABLE_EPT'), false);
      assert.equal(supports(shown, 'secondary.UNRESTRICTED_GUEST'), false);
      assert.equal(supports(shown, 'secondary.ENABLE_VPID'), true);
      assert.equal(shown.IA32_VMX_EPT_VPID_CAP?.low, 0);
      assert.equal(vpidSupports(shown, 'INVVPID'), true);
      assert.equal(miscOf(shown, 'EXIT_STORES_LMA'), 0);
      assert.equal(fieldExists(shown, fieldNamed('EPT_POINTER')), false);
      assert.deepEqual(shown.IA32_VMX_PINBASED_CTLS, PROFILES[name].IA32_VMX_PINBASED_CTLS);
    });
  }
  it('hides what the hardware has and L0 does not do', () => {
    const hardware: VmxCapabilities = {
      ...PROFILES['modern-1'],
      IA32_VMX_PROCBASED_CTLS2: { low: 0, high: 0xffffffff },
      IA32_VMX_EPT_VPID_CAP: { low: 0xffffffff, high: 0xffffffff },
      IA32_VMX_MISC: { low: 0xffffffff, high: 0 },
    };
    const shown = capabilitiesForL1(hardware, 'multi-dimensional');
    for (const key of [
      'secondary.ENABLE_PML',
      'secondary.ENABLE_VM_FUNCTIONS',
      'secondary.VIRTUAL_INTERRUPT_DELIVERY',
      'secondary.EPT_VIOLATION_VE',
    ] as const) {
      assert.equal(supports(shown, key), false, key);
    }
    assert.equal(eptSupports(shown, 'PAGE_WALK_LENGTH_5'), false);
    assert.equal(miscOf(shown, 'SMM_MONITOR_UNBLOCK_SMI'), 0);
  });
  it('names each control once, and only controls that there are', () => {
    const keys = SUPPORTED_CONTROLS.map(([key]) => key);
    assert.equal(new Set(keys).size, keys.length);
    const known = new Set(CONTROLS.map(({ group, name }) => `${group}.${name}`));
    for (const key of keys) assert.ok(known.has(key), key);
  });
  it('answers RDMSR by number; an MSR that does not exist has no answer', () => {
    const shown = PROFILES['modern-1'];
    assert.deepEqual(capabilityMsr(shown, CAPABILITY_MSRS.IA32_VMX_BASIC), shown.IA32_VMX_BASIC);
    assert.equal(capabilityMsr(shown, CAPABILITY_MSRS.IA32_VMX_VMFUNC), undefined);
  });
});
