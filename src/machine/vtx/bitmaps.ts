// SPDX-License-Identifier: Apache-2.0
// See: SDM 25.6.4 I/O-Bitmap Addresses, 25.6.9 MSR-Bitmap Address

import { PRIMARY } from '../../arch/vmx/controls.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Memory } from '../memory/memory.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** Bit `number` of a bitmap in physical memory; where no RAM is, all ones. */
export function bitmapBit(memory: Memory, bitmap: PhysicalAddress, number: number): boolean {
  const host = memory.host(bitmap + (number >>> 3));
  return host === -1 || ((memory.u8[host] >>> (number & 7)) & 1) !== 0;
}

/** Whether an access to `bytes` ports from `port` on exits. One that wraps around exits with bitmaps. */
export function ioExits(unit: VmxUnit, port: number, bytes: number): boolean {
  const { controls, cpu } = unit;
  if (!controls.has(PRIMARY.USE_IO_BITMAPS)) return controls.has(PRIMARY.UNCONDITIONAL_IO_EXITING);
  if (port + bytes > 0x10000) return true;
  for (let each = port; each < port + bytes; each++) {
    const bitmap = each < 0x8000 ? controls.ioBitmapA : controls.ioBitmapB;
    if (bitmapBit(cpu.memory, bitmap, each & 0x7fff)) return true;
  }
  return false;
}

const HIGH_MSRS = 0xc0000000;
const MSRS_PER_BITMAP = 0x2000;
/** Bytes: reads of low MSRs, reads of high ones, writes of low ones, writes of high ones. */
const HALF_PAGE = 0x800;
const QUARTER_PAGE = 0x400;

/** Whether RDMSR or WRMSR of an MSR (unsigned) exits. */
export function msrExits(unit: VmxUnit, index: number, write: boolean): boolean {
  const { controls, cpu } = unit;
  if (!controls.has(PRIMARY.USE_MSR_BITMAPS)) return true;
  const high = index >= HIGH_MSRS;
  const number = high ? index - HIGH_MSRS : index;
  if (number >= MSRS_PER_BITMAP) return true;
  return bitmapBit(cpu.memory, controls.msrBitmap + (write ? HALF_PAGE : 0) + (high ? QUARTER_PAGE : 0), number);
}
