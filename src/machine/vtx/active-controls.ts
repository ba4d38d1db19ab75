// SPDX-License-Identifier: Apache-2.0
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { exactOffset } from '../cpu/time-stamp-counter.ts';
import type { Vmcs } from './vmcs.ts';

const { PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL } = OFFSET;
const { VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS, EXCEPTION_BITMAP } = OFFSET;
const { PAGE_FAULT_ERROR_CODE_MASK, PAGE_FAULT_ERROR_CODE_MATCH } = OFFSET;
const { CR0_GUEST_HOST_MASK, CR4_GUEST_HOST_MASK, CR0_READ_SHADOW, CR4_READ_SHADOW } = OFFSET;
const { IO_BITMAP_A, IO_BITMAP_B, MSR_BITMAP, VIRTUAL_APIC_PAGE_ADDR, APIC_ACCESS_ADDR } = OFFSET;
const { VIRTUAL_PROCESSOR_ID, TPR_THRESHOLD, PLE_GAP, PLE_WINDOW, TSC_OFFSET, TSC_MULTIPLIER } = OFFSET;
/** 1.0 as a multiplier: fixed point with 48 fractional bits. */
const ONE_HIGH = 0x10000;

/** No page: an address that nothing has. */
export const NO_PAGE = -1;

/**
 * The controls in force in VMX non-root operation, copied from the current VMCS by VM entry: the processor need not
 * look at the VMCS again, and does not.
 */
export class ActiveControls {
  pin = 0;
  primary = 0;
  /** 0 unless the primary controls activate them. */
  secondary = 0;
  exit = 0;
  entry = 0;
  exceptionBitmap = 0;
  pageFaultMask = 0;
  pageFaultMatch = 0;
  cr0Mask = 0;
  cr0Shadow = 0;
  cr4Mask = 0;
  cr4Shadow = 0;
  vpid = 0;
  ioBitmapA: PhysicalAddress = 0;
  ioBitmapB: PhysicalAddress = 0;
  msrBitmap: PhysicalAddress = 0;
  virtualApicPage: PhysicalAddress = 0;
  /** NO_PAGE unless "virtualize APIC accesses" is 1. */
  apicAccessPage: PhysicalAddress = NO_PAGE;
  tprThreshold = 0;
  /** Of PAUSE-loop exiting, in increments of the time-stamp counter. */
  pauseLoopGap = 0;
  pauseLoopWindow = 0;
  /** 0 without "use TSC offsetting". */
  tscOffsetLow = 0;
  tscOffsetHigh = 0;
  /** The offset as a signed Number; NaN where that is not exact, and with scaling. */
  tscAhead = 0;
  /** "Use TSC scaling", together with offsetting and by another multiplier than 1. */
  tscScaled = false;

  load(vmcs: Vmcs): void {
    this.pin = vmcs.low(PIN_BASED_VM_EXEC_CONTROL);
    this.primary = vmcs.low(CPU_BASED_VM_EXEC_CONTROL);
    this.secondary = this.primary & PRIMARY.ACTIVATE_SECONDARY_CONTROLS ? vmcs.low(SECONDARY_VM_EXEC_CONTROL) : 0;
    this.exit = vmcs.low(VM_EXIT_CONTROLS);
    this.entry = vmcs.low(VM_ENTRY_CONTROLS);
    this.exceptionBitmap = vmcs.low(EXCEPTION_BITMAP);
    this.pageFaultMask = vmcs.low(PAGE_FAULT_ERROR_CODE_MASK);
    this.pageFaultMatch = vmcs.low(PAGE_FAULT_ERROR_CODE_MATCH);
    this.cr0Mask = vmcs.low(CR0_GUEST_HOST_MASK);
    this.cr0Shadow = vmcs.low(CR0_READ_SHADOW);
    this.cr4Mask = vmcs.low(CR4_GUEST_HOST_MASK);
    this.cr4Shadow = vmcs.low(CR4_READ_SHADOW);
    this.vpid = this.has2(SECONDARY.ENABLE_VPID) ? vmcs.low(VIRTUAL_PROCESSOR_ID) : 0;
    this.ioBitmapA = addressAt(vmcs, IO_BITMAP_A);
    this.ioBitmapB = addressAt(vmcs, IO_BITMAP_B);
    this.msrBitmap = addressAt(vmcs, MSR_BITMAP);
    this.virtualApicPage = addressAt(vmcs, VIRTUAL_APIC_PAGE_ADDR);
    this.apicAccessPage = this.has2(SECONDARY.VIRTUALIZE_APIC_ACCESSES) ? addressAt(vmcs, APIC_ACCESS_ADDR) : NO_PAGE;
    this.tprThreshold = vmcs.low(TPR_THRESHOLD) & 0xf;
    this.pauseLoopGap = vmcs.low(PLE_GAP);
    this.pauseLoopWindow = vmcs.low(PLE_WINDOW);
    this.loadTsc(vmcs);
  }

  private loadTsc(vmcs: Vmcs): void {
    const offsetting = this.has(PRIMARY.USE_TSC_OFFSETTING);
    this.tscOffsetLow = offsetting ? vmcs.low(TSC_OFFSET) : 0;
    this.tscOffsetHigh = offsetting ? vmcs.high(TSC_OFFSET) : 0;
    const one = vmcs.low(TSC_MULTIPLIER) === 0 && vmcs.high(TSC_MULTIPLIER) === ONE_HIGH;
    this.tscScaled = offsetting && this.has2(SECONDARY.USE_TSC_SCALING) && !one;
    this.tscAhead = this.tscScaled ? NaN : exactOffset(this.tscOffsetLow, this.tscOffsetHigh);
  }

  /** Whether a primary control is 1. */
  has(mask: number): boolean {
    return (this.primary & mask) !== 0;
  }
  /** Whether a secondary control is 1. */
  has2(mask: number): boolean {
    return (this.secondary & mask) !== 0;
  }
  hasPin(mask: number): boolean {
    return (this.pin & mask) !== 0;
  }
  onExit(mask: number): boolean {
    return (this.exit & mask) !== 0;
  }
  onEntry(mask: number): boolean {
    return (this.entry & mask) !== 0;
  }

  get ept(): boolean {
    return this.has2(SECONDARY.ENABLE_EPT);
  }
  get virtualNmis(): boolean {
    return this.hasPin(PIN.VIRTUAL_NMIS);
  }
  get tprShadow(): boolean {
    return this.has(PRIMARY.USE_TPR_SHADOW);
  }
  get host64(): boolean {
    return this.onExit(EXIT.HOST_ADDRESS_SPACE_SIZE);
  }
  get guestIa32e(): boolean {
    return this.onEntry(ENTRY.IA32E_MODE_GUEST);
  }
}
