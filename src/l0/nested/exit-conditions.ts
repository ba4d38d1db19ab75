// SPDX-License-Identifier: Apache-2.0
// Exits of L2 that are L1's under a condition: what vmcs12's masks, filters and bitmaps say of this one. The same
// questions are asked when L0 emulates an instruction for L2.

import { extract } from '../../arch/vmx/bit-field.ts';
import { PRIMARY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import {
  CR_ACCESS,
  CR_ACCESS_TYPE,
  INTERRUPTION_INFORMATION,
  INTERRUPTION_TYPE,
  IO_INSTRUCTION,
} from '../../arch/vmx/qualifications.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { ioExits, msrExits } from './bitmaps.ts';
import type { BitmapMemory } from './bitmaps.ts';
import type { ExitInformation } from './exit-information.ts';

const { EXCEPTION_BITMAP, PAGE_FAULT_ERROR_CODE_MASK, PAGE_FAULT_ERROR_CODE_MATCH } = OFFSET;
const { CPU_BASED_VM_EXEC_CONTROL, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW } =
  OFFSET;
const { CR3_TARGET_COUNT, CR3_TARGET_VALUE0 } = OFFSET;

const PAGE_FAULT = 14;
const CR0_TS = 8;
const CR0_PE = 1;
const LMSW_CHANGES = 0xe;

export interface ExitOfL2 {
  readonly vmcs12: VmcsView;
  readonly exit: ExitInformation;
  /** L1's memory, where its bitmaps are. */
  readonly l1: BitmapMemory;
  /** A general register of L2, unsigned halves. */
  readonly register: (number: number) => { readonly low: number; readonly high: number };
}

const RCX = 1;

/** Whether vmcs12 wants an exception of L2. See: SDM 25.6.3 Exception Bitmap */
export function exceptionExits(vmcs12: VmcsView, vector: number, errorCode: number): boolean {
  const bit = (vmcs12.low(EXCEPTION_BITMAP) >>> vector) & 1;
  if (vector !== PAGE_FAULT) return bit !== 0;
  const matches =
    (errorCode & vmcs12.low(PAGE_FAULT_ERROR_CODE_MASK)) >>> 0 === vmcs12.low(PAGE_FAULT_ERROR_CODE_MATCH);
  return matches === (bit !== 0);
}

export function exceptionToL1({ vmcs12, exit }: ExitOfL2): boolean {
  if (extract(INTERRUPTION_INFORMATION.TYPE, exit.interruption) === INTERRUPTION_TYPE.nmi) return false;
  return exceptionExits(vmcs12, extract(INTERRUPTION_INFORMATION.VECTOR, exit.interruption), exit.errorCode);
}

/** See: SDM 25.6.6 Guest/Host Masks and Read Shadows for CR0 and CR4 */
export function controlRegisterToL1({ vmcs12, exit, register }: ExitOfL2): boolean {
  const qualification = exit.qualificationLow;
  const number = extract(CR_ACCESS.NUMBER, qualification);
  const mask0 = vmcs12.low(CR0_GUEST_HOST_MASK);
  const shadow0 = vmcs12.low(CR0_READ_SHADOW);
  const type = extract(CR_ACCESS.ACCESS_TYPE, qualification);
  if (type === CR_ACCESS_TYPE.clts) return (mask0 & shadow0 & CR0_TS) !== 0;
  if (type === CR_ACCESS_TYPE.lmsw) {
    const source = extract(CR_ACCESS.LMSW_SOURCE, qualification);
    const setsPe = (mask0 & source & ~shadow0 & CR0_PE) !== 0;
    return setsPe || (mask0 & (source ^ shadow0) & LMSW_CHANGES) !== 0;
  }
  if (type === CR_ACCESS_TYPE.movFrom)
    return primary(vmcs12, number === 8 ? PRIMARY.CR8_STORE_EXITING : PRIMARY.CR3_STORE_EXITING);
  const value = register(extract(CR_ACCESS.REGISTER, qualification));
  if (number === 0) return ((value.low ^ shadow0) & mask0) !== 0;
  if (number === 4) return ((value.low ^ vmcs12.low(CR4_READ_SHADOW)) & vmcs12.low(CR4_GUEST_HOST_MASK)) !== 0;
  if (number === 8) return primary(vmcs12, PRIMARY.CR8_LOAD_EXITING);
  return primary(vmcs12, PRIMARY.CR3_LOAD_EXITING) && !isTarget(vmcs12, value);
}

function primary(vmcs12: VmcsView, mask: number): boolean {
  return (vmcs12.low(CPU_BASED_VM_EXEC_CONTROL) & mask) !== 0;
}

/** See: SDM 25.6.7 CR3-Target Controls */
function isTarget(vmcs12: VmcsView, value: { readonly low: number; readonly high: number }): boolean {
  const count = vmcs12.low(CR3_TARGET_COUNT);
  for (let i = 0; i < count; i++) {
    const field = CR3_TARGET_VALUE0 + 8 * i;
    if (vmcs12.low(field) === value.low && vmcs12.high(field) === value.high) return true;
  }
  return false;
}

export function ioToL1({ vmcs12, exit, l1 }: ExitOfL2): boolean {
  const port = extract(IO_INSTRUCTION.PORT, exit.qualificationLow);
  return ioExits(vmcs12, l1, port, extract(IO_INSTRUCTION.SIZE_MINUS_1, exit.qualificationLow) + 1);
}

export function msrToL1({ vmcs12, exit, l1, register }: ExitOfL2): boolean {
  return msrExits(vmcs12, l1, register(RCX).low, exit.reason === EXIT_REASON.MSR_WRITE);
}
