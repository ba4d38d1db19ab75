// SPDX-License-Identifier: Apache-2.0

/** The I/O APIC inputs that a PC's PCI interrupts use, beyond the ISA ones. */
export const DEFAULT_PCI_GSIS: readonly number[] = [16, 17, 18, 19];

/** A row of _PRT: device `slot`'s pin (1 for INTA# … 4 for INTD#) is wired to `gsi`, level, active low. */
export interface PciInterruptRoute {
  readonly slot: number;
  readonly pin: number;
  readonly gsi: number;
}

/** Pins rotate from slot to slot, so that neighbours do not share. See: PCI 2.2.6 Interrupt Pins. */
export function pciGsi(gsis: readonly number[], slot: number, pin: number): number {
  return gsis[(slot + pin - 1) % gsis.length];
}

/** Every device's four pins. See: ACPI 6.2.13 _PRT (PCI Routing Table). */
export function pciInterruptRoutes(gsis: readonly number[] = DEFAULT_PCI_GSIS): PciInterruptRoute[] {
  const routes: PciInterruptRoute[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 1; pin <= 4; pin++) routes.push({ slot, pin, gsi: pciGsi(gsis, slot, pin) });
  }
  return routes;
}
