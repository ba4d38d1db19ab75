// SPDX-License-Identifier: Apache-2.0
// IA32_EFER of L2: worked out at entry, and given to the hardware where it has a place for it.

import { ENTRY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { CR0_PG, EFER_LMA, EFER_LME } from '../../arch/vmx/state-bits.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import type { Vcpu } from '../vcpu.ts';
import { isSet, write32 } from '../vmcs-access.ts';

const { VM_ENTRY_CONTROLS, GUEST_CR0, GUEST_IA32_EFER } = OFFSET;
/** Bytes of an entry of an MSR list before the value. */
const MSR_LIST_VALUE = 8;

/**
 * What an entry makes of L1's IA32_EFER: the field, or LMA (and under paging LME) as "IA-32e mode guest" says.
 * See: SDM 27.3.2.1 Loading Guest Control Registers, Debug Registers, and MSRs
 */
export function eferOfL2(v12: VmcsView, efer01: number): number {
  const entry = v12.low(VM_ENTRY_CONTROLS);
  if (entry & ENTRY.LOAD_IA32_EFER) return v12.low(GUEST_IA32_EFER);
  const paging = (v12.low(GUEST_CR0) & CR0_PG) !== 0;
  const kept = efer01 & ~(paging ? EFER_LMA | EFER_LME : EFER_LMA);
  return entry & ENTRY.IA32E_MODE_GUEST ? kept | EFER_LMA | EFER_LME : kept;
}

/** vmcs02 is current: L2 is to run with this. */
export function setEferOfL2(vcpu: Vcpu, efer: number): void {
  const { processor, state, pages, machine } = vcpu;
  state.efer = efer;
  if (pages.msrList < 0) write32(processor, GUEST_IA32_EFER, efer);
  else machine.host.write32(pages.msrList + MSR_LIST_VALUE, efer);
}

/** WRMSR of IA32_EFER by L2 or by a VM-entry MSR-load list; false: #GP. `reserved`: bits that do not exist. */
export function writeEferOfL2(vcpu: Vcpu, low: number, high: number, supported: number): boolean {
  const { efer, processor } = vcpu;
  if (high !== 0 || (low & ~supported) !== 0) return false;
  const paging = isSet(processor, GUEST_CR0, CR0_PG);
  if (paging && ((low ^ efer) & EFER_LME) !== 0) return false;
  setEferOfL2(vcpu, ((low & ~EFER_LMA) | (efer & EFER_LMA)) >>> 0);
  return true;
}
