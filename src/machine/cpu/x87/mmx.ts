// SPDX-License-Identifier: Apache-2.0
import type { X87 } from './x87.ts';

/** See: SDM 9.5.1 MMX Instructions and the x87 FPU Tag Word; 9.2.1 MMX Registers. */

/** What every MMX instruction but EMMS does first: TOP 0, all registers tagged as not empty. Then MMn is physical register n. */
export function enterMmx(x87: X87): void {
  x87.top = 0;
  x87.ftw = 0xff;
}

/** What a write to MMn does beside its 64 bits: the bits of sign and exponent become ones. */
export function markMmxWritten(x87: X87, register: number): void {
  x87.setPhysical(register, x87.physical(register) | (0xffffn << 64n));
}
