// SPDX-License-Identifier: Apache-2.0
import { eptSupports, supports, vpidSupports } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';

export function supportsShadowing(capabilities: VmxCapabilities): boolean {
  return supports(capabilities, 'secondary.VMCS_SHADOWING');
}

/** Types of INVEPT by number. See: SDM 31.3 VMX Instructions (INVEPT) */
export const INVEPT_TYPE = { singleContext: 1, allContext: 2 } as const;
/** Types of INVVPID by number. */
export const INVVPID_TYPE = { individualAddress: 0, singleContext: 1, allContext: 2, retainingGlobals: 3 } as const;

export function supportsInvept(capabilities: VmxCapabilities, type: number): boolean {
  if (type === INVEPT_TYPE.singleContext) return eptSupports(capabilities, 'INVEPT_SINGLE_CONTEXT');
  return type === INVEPT_TYPE.allContext && eptSupports(capabilities, 'INVEPT_ALL_CONTEXT');
}

export function supportsInvvpid(capabilities: VmxCapabilities, type: number): boolean {
  // prettier-ignore
  switch (type) {
    case INVVPID_TYPE.individualAddress: return vpidSupports(capabilities, 'INVVPID_INDIVIDUAL_ADDRESS');
    case INVVPID_TYPE.singleContext:     return vpidSupports(capabilities, 'INVVPID_SINGLE_CONTEXT');
    case INVVPID_TYPE.allContext:        return vpidSupports(capabilities, 'INVVPID_ALL_CONTEXT');
    case INVVPID_TYPE.retainingGlobals:  return vpidSupports(capabilities, 'INVVPID_RETAINING_GLOBALS');
    default:                             return false;
  }
}
