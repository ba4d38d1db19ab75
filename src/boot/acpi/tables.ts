// SPDX-License-Identifier: Apache-2.0

import { assert } from '../../base/assert.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { ACPI_NVS_BASE, ACPI_TABLES_BASE } from '../e820.ts';
import type { PcLayout } from '../layout.ts';
import type { MemoryWrite } from '../plan.ts';
import { alignUp } from '../structure.ts';
import { differentiatedDescription } from './dsdt.ts';
import { firmwareControl, fixedDescription } from './fadt.ts';
import { multipleApics } from './madt.ts';
import { memoryMappedConfiguration } from './mcfg.ts';
import { extendedRootTable, rootPointer, rootTable, RSDP_BYTES } from './root.ts';

export interface AcpiTables {
  /** Physical address of the RSDP, on a 16-byte boundary where software scans for it. */
  readonly rsdp: PhysicalAddress;
  readonly writes: readonly MemoryWrite[];
}

/** All tables of the PC: the RSDP at 0xE0000, the others after it, the FACS in the NVS page that follows. */
export function acpiTables(layout: PcLayout): AcpiTables {
  const writes: MemoryWrite[] = [];
  let next = alignUp(ACPI_TABLES_BASE + RSDP_BYTES, 64);
  const place = (what: string, bytes: Uint8Array): PhysicalAddress => {
    const address = next;
    next = alignUp(address + bytes.length, 64);
    assert(next <= ACPI_NVS_BASE, `ACPI tables end at ${next}`);
    writes.push({ address, bytes, what: `ACPI ${what}` });
    return address;
  };
  const dsdt = place('DSDT', differentiatedDescription(layout));
  const tables = [
    place('FADT', fixedDescription(layout, ACPI_NVS_BASE, dsdt)),
    place('MADT', multipleApics(layout)),
    place('MCFG', memoryMappedConfiguration(layout)),
  ];
  const rsdp = rootPointer(place('RSDT', rootTable(tables)), place('XSDT', extendedRootTable(tables)));
  writes.push({ address: ACPI_TABLES_BASE, bytes: rsdp, what: 'ACPI RSDP' });
  writes.push({ address: ACPI_NVS_BASE, bytes: firmwareControl(), what: 'ACPI FACS' });
  return { rsdp: ACPI_TABLES_BASE, writes };
}
