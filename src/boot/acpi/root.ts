// SPDX-License-Identifier: Apache-2.0

import type { PhysicalAddress } from '../../hardware/memory.ts';
import { fixedText } from '../../formats/ascii.ts';
import { structure } from '../structure.ts';
import { checksumOf, OEM_ID, systemTable } from './table.ts';

export const RSDP_BYTES = 36;
/** The part ACPI 1.0 knows, with a checksum of its own. */
const RSDP_ACPI1_BYTES = 20;

/** See: ACPI 5.2.5.3 Root System Description Pointer (RSDP) Structure. */
export function rootPointer(rsdt: PhysicalAddress, xsdt: PhysicalAddress): Uint8Array {
  const bytes = structure([
    ['signature', 8, fixedText('RSD PTR ', 8)],
    ['checksum', 1, 0],
    ['oem_id', 6, fixedText(OEM_ID, 6)],
    ['revision', 1, 2],
    ['rsdt_address', 4, rsdt],
    ['length', 4, RSDP_BYTES],
    ['xsdt_address', 8, xsdt],
    ['extended_checksum', 1, 0],
    ['reserved', 3, 0],
  ]);
  bytes[8] = checksumOf(bytes.subarray(0, RSDP_ACPI1_BYTES));
  bytes[32] = checksumOf(bytes);
  return bytes;
}

/** See: ACPI 5.2.7 Root System Description Table (RSDT); for software that stayed with 32-bit pointers. */
export function rootTable(tables: readonly PhysicalAddress[]): Uint8Array {
  return systemTable('RSDT', 1, structure(tables.map((address) => ['entry', 4, address])));
}

/** See: ACPI 5.2.8 Extended System Description Table (XSDT). */
export function extendedRootTable(tables: readonly PhysicalAddress[]): Uint8Array {
  return systemTable('XSDT', 1, structure(tables.map((address) => ['entry', 8, address])));
}
