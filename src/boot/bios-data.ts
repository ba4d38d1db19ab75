// SPDX-License-Identifier: Apache-2.0
// The BIOS data area at segment 0040h, as the PC/AT technical reference lays it out.

import { EBDA_BASE } from './e820.ts';
import type { PcLayout } from './layout.ts';
import type { MemoryWrite } from './plan.ts';
import { putNumber } from './structure.ts';

const BIOS_DATA_BASE = 0x400;
const BIOS_DATA_BYTES = 0x100;

/** Equipment word: coprocessor in bit 1, 80x25 colour in bits 5:4 (what software expects without a display), serial ports in 11:9. */
function equipment(layout: PcLayout): number {
  return (1 << 1) | (2 << 4) | (layout.serialPorts.length << 9);
}

/** Offsets are from BIOS_DATA_BASE. */
export function biosDataArea(layout: PcLayout): MemoryWrite {
  const bytes = new Uint8Array(BIOS_DATA_BYTES);
  // prettier-ignore
  const rows: readonly [field: string, offset: number, width: number, value: number][] = [
    ...layout.serialPorts.slice(0, 4).map((port, index): [string, number, number, number] => [`COM${index + 1}`, index * 2, 2, port]),
    ['EBDA segment',         0x0e, 2, EBDA_BASE >> 4],
    ['equipment',            0x10, 2, equipment(layout)],
    ['memory size in KiB',   0x13, 2, EBDA_BASE / 1024],
    ['keyboard buffer head', 0x1a, 2, 0x1e],
    ['keyboard buffer tail', 0x1c, 2, 0x1e],
    ['video mode',           0x49, 1, 3],
    ['text columns',         0x4a, 2, 80],
    ['keyboard buffer start', 0x80, 2, 0x1e],
    ['keyboard buffer end',  0x82, 2, 0x3e],
    ['text rows minus one',  0x84, 1, 24],
  ];
  for (const [field, offset, width, value] of rows) putNumber(bytes, offset, width, value, field);
  return { address: BIOS_DATA_BASE, bytes, what: 'BIOS data area' };
}

/** Its first byte is its size in KiB. */
export function extendedBiosDataArea(): MemoryWrite {
  const bytes = new Uint8Array(1024);
  bytes[0] = 1;
  return { address: EBDA_BASE, bytes, what: 'extended BIOS data area' };
}
