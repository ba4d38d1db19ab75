// SPDX-License-Identifier: Apache-2.0
// See: PCI Firmware Specification 3.0, 4.1.2 MCFG Table Description.

import type { PcLayout } from '../layout.ts';
import { structure } from '../structure.ts';
import { systemTable } from './table.ts';

/** One segment group, buses from 0. */
export function memoryMappedConfiguration(layout: PcLayout): Uint8Array {
  return systemTable(
    'MCFG',
    1,
    structure([
      ['reserved', 8, 0],
      ['base address', 8, layout.ecam.base],
      ['segment group', 2, 0],
      ['first bus', 1, 0],
      ['last bus', 1, layout.ecam.buses - 1],
      ['reserved', 4, 0],
    ]),
  );
}
