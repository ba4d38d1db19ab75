// SPDX-License-Identifier: Apache-2.0
// INVEPT and INVVPID by L1. See: SDM 29.4.3 Invalidating Cached Translation Information, 31.3 VMX Instructions

import { extract } from '../../arch/vmx/bit-field.ts';
import { eptSupports, vpidSupports } from '../../arch/vmx/capabilities.ts';
import type { VPID_CAP, VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { INSTRUCTION_INFORMATION } from '../../arch/vmx/instruction-information.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { EPTP } from '../paging/ept-format.ts';
import { INVVPID_TYPE } from '../paging/vpid.ts';
import type { InvvpidType } from '../paging/vpid.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { readOperand } from './operand.ts';
import { fail, succeed } from './outcome.ts';

const LAYOUT = INSTRUCTION_INFORMATION.INVALIDATE;
const INVALID_OPCODE = 6;
const INVEPT_TYPE = { singleContext: 1, allContext: 2 } as const;
const ERROR = 'INVALID_OPERAND_TO_INVEPT_INVVPID';
const EPTP_RESERVED = 0xf80;

const descriptor = new Uint8Array(16);
const view = new DataView(descriptor.buffer);

/** The type in the register operand; -1 if it is none. */
function typeOf({ vcpu }: NestedVcpu, information: number): number {
  const value: Halves = { low: 0, high: 0 };
  vcpu.readGeneral(extract(LAYOUT.REGISTER_2, information), value);
  return vcpu.code64 && value.high !== 0 ? -1 : value.low;
}

/** The operand is read whatever the type says. */
export function invept(nested: NestedVcpu, information: number): void {
  const { vcpu, shown, multiDimensional } = nested;
  if (!readOperand(vcpu, information, descriptor)) return;
  const type = typeOf(nested, information);
  const eptp: Halves = { low: view.getUint32(0, true), high: view.getUint32(4, true) };
  if (type === INVEPT_TYPE.singleContext && eptSupports(shown, 'INVEPT_SINGLE_CONTEXT')) {
    if (!validEptPointer(shown, eptp, nested.context.facts.physicalAddressWidth)) return fail(nested, ERROR);
    multiDimensional.invalidate(eptp);
  } else if (type === INVEPT_TYPE.allContext && eptSupports(shown, 'INVEPT_ALL_CONTEXT'))
    multiDimensional.invalidateAll();
  else return fail(nested, ERROR);
  succeed(vcpu);
}

/** Whether VM entry would accept it. See: SDM 25.6.11 Extended-Page-Table Pointer (EPTP) */
function validEptPointer(shown: VmxCapabilities, { low, high }: Halves, physicalAddressWidth: number): boolean {
  const memoryType = low & 7;
  const walk = (low >>> 3) & 7;
  if (
    !(memoryType === 0
      ? eptSupports(shown, 'MEMORY_TYPE_UC')
      : memoryType === EPTP.WRITE_BACK && eptSupports(shown, 'MEMORY_TYPE_WB'))
  )
    return false;
  if (walk !== 3 || !eptSupports(shown, 'PAGE_WALK_LENGTH_4')) return false;
  if ((low & EPTP.ACCESSED_DIRTY) !== 0 && !eptSupports(shown, 'ACCESSED_DIRTY')) return false;
  return (low & EPTP_RESERVED) === 0 && high >>> (physicalAddressWidth - 32) === 0;
}

const CAPABILITY: { readonly [Type in InvvpidType]: keyof typeof VPID_CAP } = {
  [INVVPID_TYPE.individualAddress]: 'INVVPID_INDIVIDUAL_ADDRESS',
  [INVVPID_TYPE.singleContext]: 'INVVPID_SINGLE_CONTEXT',
  [INVVPID_TYPE.allContext]: 'INVVPID_ALL_CONTEXT',
  [INVVPID_TYPE.retainingGlobals]: 'INVVPID_RETAINING_GLOBALS',
};
const isType = (type: number): type is InvvpidType => type >= 0 && type <= 3;

export function invvpid(nested: NestedVcpu, information: number): void {
  const { vcpu, shown, vpids } = nested;
  if (!vpidSupports(shown, 'INVVPID')) return vcpu.raise(INVALID_OPCODE);
  if (!readOperand(vcpu, information, descriptor)) return;
  const type = typeOf(nested, information);
  const vpid12 = view.getUint16(0, true);
  const reserved = view.getUint16(2, true) | view.getUint32(4, true);
  if (!isType(type) || !vpidSupports(shown, CAPABILITY[type]) || reserved !== 0) return fail(nested, ERROR);
  if (type !== INVVPID_TYPE.allContext && vpid12 === 0) return fail(nested, ERROR);
  const linear: Halves = { low: view.getUint32(8, true), high: view.getUint32(12, true) };
  const top = linear.high >>> 15;
  if (type === INVVPID_TYPE.individualAddress && top !== 0 && top !== 0x1ffff) return fail(nested, ERROR);
  vpids.invalidate(type, vpid12, linear);
  succeed(vcpu);
}
