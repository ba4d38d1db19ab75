// SPDX-License-Identifier: Apache-2.0

/** What of a virtual CPU lies neither in a VMCS nor in the processor: plain data, saved and restored whole. */
export type VcpuState = {
  /** ACTIVITY of arch/vmx/state-bits.ts: active, hlt, shutdown or wait-for-SIPI. */
  activity: number;
  /** Whose code the processor runs when it is entered: 1 with vmcs01, 2 with vmcs02. */
  level: number;

  // --- an exception that L0's emulation of an instruction raised; -1: none
  exceptionVector: number;
  /** -1: none. */
  exceptionErrorCode: number;
  /** Of a page fault: the linear address, unsigned halves. */
  faultLow: number;
  faultHigh: number;

  // --- a delivery that the last exit interrupted and the next entry repeats; bit 31 of the information: there is one
  vectoring: number;
  vectoringErrorCode: number;
  vectoringLength: number;

  /** Flags. */
  pendingNmi: number;
  pendingInit: number;
  /** Vector of a start-up IPI that waits, or -1. */
  pendingStartup: number;

  /** What L1's time-stamp counter has more than the processor's, and IA32_TSC_ADJUST: unsigned halves. */
  tscOffsetLow: number;
  tscOffsetHigh: number;
  tscAdjustLow: number;
  tscAdjustHigh: number;

  /** Flag: CR0.PG is 0 for L1 and 1 in hardware, which walks L0's identity map. CR3 as L1 wrote it is here then. */
  unpaged: number;
  cr3Low: number;
  cr3High: number;
  /** IA32_EFER as L1 sees it, where no VMCS field holds it. */
  efer: number;

  /** MSRs that live nowhere else: two words for each row, low half first. */
  msrs: Uint32Array;
};

export function initialVcpuState(msrs: number): VcpuState {
  return {
    ...{ activity: 0, level: 1 },
    ...{ exceptionVector: -1, exceptionErrorCode: -1, faultLow: 0, faultHigh: 0 },
    ...{ vectoring: 0, vectoringErrorCode: 0, vectoringLength: 0 },
    ...{ pendingNmi: 0, pendingInit: 0, pendingStartup: -1 },
    ...{ tscOffsetLow: 0, tscOffsetHigh: 0, tscAdjustLow: 0, tscAdjustHigh: 0 },
    ...{ unpaged: 0, cr3Low: 0, cr3High: 0, efer: 0 },
    msrs: new Uint32Array(2 * msrs),
  };
}
