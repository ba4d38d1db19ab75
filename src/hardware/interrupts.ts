// SPDX-License-Identifier: Apache-2.0

/** Drives one input of the interrupt router, level style: true while the device asserts it. */
export interface InterruptLine {
  set(asserted: boolean): void;
}

/**
 * The one way interrupts leave devices: by line, or as a message (MSI, a 32-bit write to 0xFEExxxxx).
 * See: SDM 11.11 Message Signalled Interrupts.
 */
export interface InterruptRouter {
  /** An ISA interrupt request line 0..15. */
  isaLine(irq: number): InterruptLine;
  /** A global system interrupt, an input pin of the I/O APIC (0..23). PCI INTx arrives here. */
  gsiLine(gsi: number): InterruptLine;
  /** requesterId: see BusMasterPort. */
  message(requesterId: number, address: number, data: number): void;
}
