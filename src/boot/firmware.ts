// SPDX-License-Identifier: Apache-2.0

import type { PhysicalAddress } from '../hardware/memory.ts';
import { acpiTables } from './acpi/tables.ts';
import { biosDataArea, extendedBiosDataArea } from './bios-data.ts';
import { memoryMap, type MemoryRegion } from './e820.ts';
import { biosRom, interruptVectors } from './firmware-services.ts';
import type { PcLayout } from './layout.ts';
import type { MemoryWrite } from './plan.ts';

/** What firmware would have left in memory, whatever is started afterwards. */
export interface Firmware {
  readonly memoryMap: readonly MemoryRegion[];
  readonly rsdp: PhysicalAddress;
  readonly writes: readonly MemoryWrite[];
}

export function firmware(layout: PcLayout): Firmware {
  const map = memoryMap(layout);
  const acpi = acpiTables(layout);
  const rom = biosRom(map);
  return {
    memoryMap: map,
    rsdp: acpi.rsdp,
    writes: [interruptVectors(rom), biosDataArea(layout), extendedBiosDataArea(), ...acpi.writes, rom.write],
  };
}
