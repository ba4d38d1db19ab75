// SPDX-License-Identifier: Apache-2.0
import { CR0, CR4, EFER } from '../cpu/register-bits.ts';
import type { Processor } from '../cpu/processor.ts';
import { STATE } from '../cpu/state.ts';
import type { PagingMode } from './walk.ts';

/** Paging is off. Whether there are 1-GByte pages is CPUID's to say, once for each processor. */
export function initialPagingMode(): PagingMode {
  return {
    levels: 0,
    root: 0,
    pageSizeExtension: false,
    gigabytePages: true,
    noExecute: false,
    writeProtect: false,
    smep: false,
    smap: false,
    globals: false,
    pdpte: new Int32Array(8),
  };
}

/** Works it out anew from CR0, CR3, CR4 and EFER; the PDPTEs are loaded elsewhere. */
export function updatePagingMode(paging: PagingMode, cpu: Processor): void {
  const { cr0, cr4, efer } = cpu;
  const on = (cr0 & CR0.PG) !== 0;
  paging.levels = !on ? 0 : efer & EFER.LMA ? 4 : cr4 & CR4.PAE ? 3 : 2;
  const cr3 = cpu.getSigned(STATE.cr3);
  // 32-bit paging ignores bits 63:32. See: SDM Table 4-3 Use of CR3 with 32-Bit Paging
  const base = paging.levels === 2 ? cr3 >>> 0 : cr3 % 0x10000000000;
  paging.root = paging.levels === 3 ? base - (base % 32) : base - (base % 4096);
  paging.pageSizeExtension = (cr4 & CR4.PSE) !== 0;
  paging.noExecute = (efer & EFER.NXE) !== 0;
  paging.writeProtect = (cr0 & CR0.WP) !== 0;
  paging.smep = (cr4 & CR4.SMEP) !== 0;
  paging.smap = (cr4 & CR4.SMAP) !== 0;
  paging.globals = (cr4 & CR4.PGE) !== 0;
}

/** What of it translations depend on beside the tables, as bits 7:0 of a number; `globals` apart. */
export function translationBits(paging: PagingMode): number {
  return (
    paging.levels |
    (paging.writeProtect ? 8 : 0) |
    (paging.smep ? 16 : 0) |
    (paging.smap ? 32 : 0) |
    (paging.noExecute ? 64 : 0) |
    (paging.pageSizeExtension ? 128 : 0)
  );
}
