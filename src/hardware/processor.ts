// SPDX-License-Identifier: Apache-2.0

/** What a local APIC tells the processor it belongs to. The processor never appears in a device by itself. */
export interface ProcessorSignals {
  /**
   * The answer to `LocalApic.interruptPending()` may have changed. Nothing is delivered by this call: the processor
   * asks again before its next instruction.
   */
  interruptsChanged(): void;
  /** A non-maskable interrupt arrived. The processor keeps it pending until it can be taken. */
  nmi(): void;
  /** An INIT arrived. When the processor acts on it (VMX root operation blocks it), it calls `LocalApic.initialize()`. */
  init(): void;
  /** A start-up IPI arrived; a processor that does not wait for one ignores it. Execution starts at vector << 12. */
  startup(vector: number): void;
}

/**
 * The time-stamp counter of one processor as its APIC timer needs it.
 * See: SDM 11.5.4.1 TSC-Deadline Mode.
 */
export interface TimeStampCounter {
  /**
   * The virtual nanoseconds of the first instruction at which this processor's counter is at or above the 64-bit
   * value (two unsigned halves); in the past when it already is, Infinity when it never will be.
   */
  nanosecondsAt(low: number, high: number): number;
}
