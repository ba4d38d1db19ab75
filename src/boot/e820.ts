// SPDX-License-Identifier: Apache-2.0
// See: ACPI 15.1 INT 15H, E820H - Query System Address Map.

import type { PhysicalAddress } from '../hardware/memory.ts';
import type { PcLayout } from './layout.ts';
import { structure } from './structure.ts';

/** Address range types. See: ACPI 15 System Address Map Interfaces. */
export const REGION = { memory: 1, reserved: 2, acpi: 3, nvs: 4 } as const;
export type RegionType = (typeof REGION)[keyof typeof REGION];

export interface MemoryRegion {
  readonly base: PhysicalAddress;
  /** Bytes. */
  readonly size: number;
  readonly type: RegionType;
}

export const FOUR_GIB = 2 ** 32;
export const ONE_MIB = 2 ** 20;
/** Where firmware's own things lie below 1 MiB. */
export const EBDA_BASE = 0x9fc00;
const EBDA_END = 0xa0000;
export const ACPI_TABLES_BASE = 0xe0000;
export const ACPI_NVS_BASE = 0xef000;
export const BIOS_BASE = 0xf0000;

/** End of the RAM below 4 GiB. */
export const lowMemoryEnd = (layout: PcLayout): PhysicalAddress => Math.min(layout.memoryBytes, layout.ecam.base);

/** The map that firmware reports, sorted, without overlaps. */
export function memoryMap(layout: PcLayout): MemoryRegion[] {
  const low = lowMemoryEnd(layout);
  const high = layout.memoryBytes - low;
  // prettier-ignore
  const rows: [base: number, end: number, type: RegionType][] = [
    [0,                    EBDA_BASE,                                       REGION.memory],
    [EBDA_BASE,            EBDA_END,                                        REGION.reserved],
    [ACPI_TABLES_BASE,     ACPI_NVS_BASE,                                   REGION.acpi],
    [ACPI_NVS_BASE,        BIOS_BASE,                                       REGION.nvs],
    [BIOS_BASE,            ONE_MIB,                                         REGION.reserved],
    [ONE_MIB,              low,                                             REGION.memory],
    [layout.ecam.base,     layout.ecam.base + layout.ecam.buses * ONE_MIB,  REGION.reserved],
    [layout.ioApic.base,   layout.ioApic.base + 0x1000,                     REGION.reserved],
    [layout.localApicBase, layout.localApicBase + 0x1000,                   REGION.reserved],
    [FOUR_GIB,             FOUR_GIB + high,                                 REGION.memory],
  ];
  return rows.filter(([base, end]) => end > base).map(([base, end, type]) => ({ base, size: end - base, type }));
}

/** Packed entries of 20 bytes (base, size, type), and `padding` more: multiboot 2 and PVH use 24. */
export function packRegions(map: readonly MemoryRegion[], padding = 0): Uint8Array {
  return structure(
    map.flatMap((region) => [
      ['base', 8, region.base] as const,
      ['size', 8, region.size] as const,
      ['type', 4, region.type] as const,
      ['reserved', padding, new Uint8Array(padding)] as const,
    ]),
  );
}
