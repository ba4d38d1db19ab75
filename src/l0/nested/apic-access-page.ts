// SPDX-License-Identifier: Apache-2.0
// L0 emulates an instruction of L2 whose operand lies in the APIC-access page of vmcs12. Where the hardware executes the
// instruction it does this itself: vmcs02 has the same page. TPR is L0's to serve where vmcs12's virtual-APIC page is no
// memory: what is written there is lost, and reads find ones.
// See: SDM 30.4 Virtualizing Memory-Mapped APIC Accesses, 30.1.2 TPR Virtualization

import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { APIC_ACCESS, CR_ACCESS, CR_ACCESS_TYPE } from '../../arch/vmx/qualifications.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Vcpu } from '../vcpu.ts';
import { EPT } from '../paging/ept-format.ts';
import type { ExitInformation } from './exit-information.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { CPU_BASED_VM_EXEC_CONTROL, APIC_ACCESS_ADDR, VIRTUAL_APIC_PAGE_ADDR } = OFFSET;
const PAGE_BYTES = 0x1000;
const VTPR = 0x80;
/** CR8 that bits of ones in VTPR are; what is larger has reserved bits. */
const HIGHEST_CLASS = 0xf;
const GENERAL_PROTECTION = 13;
/** Access types: data read and write, event delivery. */
const DATA_ACCESSES: ReadonlySet<number> = new Set([0, 1, 3]);
const UPPER_BYTES = Uint8Array.of(0, 0, 0);

/** Whether an L1-physical address lies in the APIC-access page of vmcs12. */
export function inApicAccessPage(nested: NestedVcpu, address: PhysicalAddress): boolean {
  if (!nested.secondary12(SECONDARY.VIRTUALIZE_APIC_ACCESSES)) return false;
  return address - (address % PAGE_BYTES) === addressAt(nested.vmcs12, APIC_ACCESS_ADDR);
}

/**
 * Where L2's access to the APIC-access page goes, L1-physical: to VTPR if it is one to TPR, and L1 uses the TPR shadow; -1:
 * it exits. `needed` and `structure` as in `NestedHooks.toL1Physical`.
 */
export function virtualApicAddress(
  { state, vmcs12 }: NestedVcpu,
  address: PhysicalAddress,
  needed: number,
  structure: boolean,
): PhysicalAddress {
  const offset = address % PAGE_BYTES;
  if (!tprShadow(vmcs12) || structure || (needed & EPT.EXECUTE) !== 0 || (offset & 0xffc) !== VTPR) return -1;
  if ((needed & EPT.WRITE) !== 0) state.vtprWritten = 1;
  return addressAt(vmcs12, VIRTUAL_APIC_PAGE_ADDR) + offset;
}

/**
 * The instruction that L0 completed has written VTPR: only bits 7:0 remain. Whether they are below the threshold the
 * hardware finds out at the entry that follows. See: SDM 27.7.7 VM Exits Induced by the TPR Threshold
 */
export function finishTprWrite({ state, vcpu, vmcs12 }: NestedVcpu): void {
  if (state.vtprWritten === 0) return;
  state.vtprWritten = 0;
  if (vcpu.state.exceptionVector >= 0) return;
  const { memory } = vcpu.machine;
  const vtpr = addressAt(vmcs12, VIRTUAL_APIC_PAGE_ADDR) + VTPR;
  if (memory.isRam(vtpr)) memory.write(vtpr + 1, UPPER_BYTES);
}

const tprShadow = (vmcs12: VmcsView): boolean => (vmcs12.low(CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.USE_TPR_SHADOW) !== 0;

/** An exit of L2 of which vmcs12 has the TPR shadow take care, and vmcs02 has none. CR8 exits, too, if L1 wants that. */
export function isTprWithoutMemory(
  { vcpu, vmcs12 }: NestedVcpu,
  { reason, qualificationLow }: ExitInformation,
): boolean {
  if (reason !== EXIT_REASON.CR_ACCESS && reason !== EXIT_REASON.APIC_ACCESS) return false;
  const tpr = reason === EXIT_REASON.CR_ACCESS ? isCr8(qualificationLow) : isTpr(qualificationLow);
  return tpr && tprShadow(vmcs12) && !vcpu.machine.memory.isRam(addressAt(vmcs12, VIRTUAL_APIC_PAGE_ADDR));
}

const isTpr = (qualification: number): boolean =>
  (extract(APIC_ACCESS.OFFSET, qualification) & 0xffc) === VTPR &&
  DATA_ACCESSES.has(extract(APIC_ACCESS.ACCESS_TYPE, qualification));
const isCr8 = (qualification: number): boolean =>
  extract(CR_ACCESS.NUMBER, qualification) === 8 &&
  extract(CR_ACCESS.ACCESS_TYPE, qualification) <= CR_ACCESS_TYPE.movFrom;

/** MOV to and from CR8. See: SDM 30.3 Virtualizing CR8-Based TPR Accesses */
export function accessCr8WithoutMemory(vcpu: Vcpu, { qualificationLow }: ExitInformation): void {
  const register = extract(CR_ACCESS.REGISTER, qualificationLow);
  if (extract(CR_ACCESS.ACCESS_TYPE, qualificationLow) === CR_ACCESS_TYPE.movFrom)
    vcpu.writeLow(register, HIGHEST_CLASS);
  else if (vcpu.wide(register) > BigInt(HIGHEST_CLASS)) return vcpu.raise(GENERAL_PROTECTION, 0);
  vcpu.completeInstruction();
}
