// SPDX-License-Identifier: Apache-2.0
// What the rows of the field-origin table work with while vmcs02 is being made: both hypervisors' controls, and the
// addresses that L0 puts in the place of L1's.

import { PIN, PRIMARY, SECONDARY, ENTRY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { CR0_PG, CR4_PAE } from '../../arch/vmx/state-bits.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';

const { PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL } = OFFSET;
const { VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS, EXCEPTION_BITMAP, GUEST_CR0, GUEST_CR3, GUEST_CR4 } = OFFSET;
const { VIRTUAL_APIC_PAGE_ADDR } = OFFSET;

const PAGE_FAULT_BIT = 1 << 14;

/** The current VMCS of a processor, as a view. */
export class ProcessorView implements VmcsView {
  readonly #processor: RootProcessor;
  constructor(processor: RootProcessor) {
    this.#processor = processor;
  }
  low(offset: number): number {
    return this.#processor.readLow(offset);
  }
  high(offset: number): number {
    return this.#processor.readHigh(offset);
  }
}

/** Whose bitmap the hardware reads for L2. */
export type BitmapUse = 'exit on all' | 'merged' | 'none';

/** What a composition asks of the rest of nesting. */
export interface CompositionPorts {
  /** Host-physical page behind an L1-physical one; where L1 has no memory, a page that reads as all ones. */
  hostPage(address: PhysicalAddress): HostPhysical;
  isMemory(address: PhysicalAddress): boolean;
  /** The same for the APIC-access page, which needs no memory of L1 behind it. */
  apicAccessPage(address: PhysicalAddress): HostPhysical;
  /** EPTP02: of EPT02 if vmcs12 enables EPT, else of EPT01. */
  eptPointer(eptp12: Halves | undefined, out: Halves): void;
  /** Hardware tag for a VPID12, 0 for none. */
  vpid(vpid12: number): number;
  readonly msrBitmap: HostPhysical;
  readonly ioBitmapA: HostPhysical;
  readonly ioBitmapB: HostPhysical;
  /** L1's offset to the processor's time-stamp counter. */
  tscOffset01(out: Halves): void;
  /** Page-directory-pointer entry of L2 in L1's memory. */
  pdpte(cr3Low: number, index: number, out: Halves): void;
}

/** Made anew for each entry while vmcs01 is current. Secondary controls are 0 unless activated. */
export class Composition {
  readonly ports: CompositionPorts;
  readonly v01: VmcsView;
  readonly v12: VmcsView;
  readonly pin01: number;
  readonly pin12: number;
  readonly primary01: number;
  readonly primary12: number;
  readonly secondary01: number;
  readonly secondary12: number;
  readonly exit01: number;
  readonly entry01: number;
  readonly entry12: number;
  readonly io: BitmapUse;
  readonly msr: BitmapUse;

  constructor(ports: CompositionPorts, v01: VmcsView, v12: VmcsView) {
    this.ports = ports;
    this.v01 = v01;
    this.v12 = v12;
    this.pin01 = v01.low(PIN_BASED_VM_EXEC_CONTROL);
    this.pin12 = v12.low(PIN_BASED_VM_EXEC_CONTROL);
    this.primary01 = v01.low(CPU_BASED_VM_EXEC_CONTROL);
    this.primary12 = v12.low(CPU_BASED_VM_EXEC_CONTROL);
    this.secondary01 = this.primary01 & PRIMARY.ACTIVATE_SECONDARY_CONTROLS ? v01.low(SECONDARY_VM_EXEC_CONTROL) : 0;
    this.secondary12 = this.primary12 & PRIMARY.ACTIVATE_SECONDARY_CONTROLS ? v12.low(SECONDARY_VM_EXEC_CONTROL) : 0;
    this.exit01 = v01.low(VM_EXIT_CONTROLS);
    this.entry01 = v01.low(VM_ENTRY_CONTROLS);
    this.entry12 = v12.low(VM_ENTRY_CONTROLS);
    this.io = ioUse(this.primary01, this.primary12);
    this.msr = (this.primary01 & this.primary12 & PRIMARY.USE_MSR_BITMAPS) !== 0 ? 'merged' : 'exit on all';
  }

  has12(secondary: number): boolean {
    return (this.secondary12 & secondary) !== 0;
  }
  /** vmcs12 enables EPT: multi-dimensional paging; else shadow-on-EPT. */
  get ept12(): boolean {
    return this.has12(SECONDARY.ENABLE_EPT);
  }
  get tprShadow12(): boolean {
    return (this.primary12 & PRIMARY.USE_TPR_SHADOW) !== 0;
  }
  /** Where L1 has no memory for VTPR the hardware would find what L2 has written: L0 serves TPR then, apic-access-page.ts. */
  get tprShadow02(): boolean {
    return this.tprShadow12 && this.ports.isMemory(this.address12(VIRTUAL_APIC_PAGE_ADDR));
  }
  get timer12(): boolean {
    return (this.pin12 & PIN.ACTIVATE_VMX_PREEMPTION_TIMER) !== 0;
  }
  get shadowing12(): boolean {
    return this.has12(SECONDARY.VMCS_SHADOWING);
  }
  /** L0 wants page faults of L2 for itself: then L1's filter must wait until it has them. */
  get pageFaults01(): boolean {
    return (this.v01.low(EXCEPTION_BITMAP) & PAGE_FAULT_BIT) !== 0;
  }
  /** L2 will use PAE paging. */
  get pae12(): boolean {
    const { v12 } = this;
    return (
      (v12.low(GUEST_CR0) & CR0_PG) !== 0 &&
      (v12.low(GUEST_CR4) & CR4_PAE) !== 0 &&
      (this.entry12 & ENTRY.IA32E_MODE_GUEST) === 0
    );
  }
  cr3Low12(): number {
    return this.v12.low(GUEST_CR3);
  }

  or(offset: number, out: Halves): void {
    out.low = (this.v01.low(offset) | this.v12.low(offset)) >>> 0;
    out.high = (this.v01.high(offset) | this.v12.high(offset)) >>> 0;
  }
  copy12(offset: number, out: Halves): void {
    out.low = this.v12.low(offset);
    out.high = this.v12.high(offset);
  }
  copy01(offset: number, out: Halves): void {
    out.low = this.v01.low(offset);
    out.high = this.v01.high(offset);
  }
  address12(offset: number): PhysicalAddress {
    return addressAt(this.v12, offset);
  }
}

/** Bitmaps, where used, make "unconditional I/O exiting" ineffective. */
function ioUse(primary01: number, primary12: number): BitmapUse {
  const all = (primary: number): boolean =>
    (primary & PRIMARY.USE_IO_BITMAPS) === 0 && (primary & PRIMARY.UNCONDITIONAL_IO_EXITING) !== 0;
  if (all(primary01) || all(primary12)) return 'exit on all';
  return ((primary01 | primary12) & PRIMARY.USE_IO_BITMAPS) !== 0 ? 'merged' : 'none';
}
