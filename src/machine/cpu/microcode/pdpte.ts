// SPDX-License-Identifier: Apache-2.0
import { CR0_BITS, PDPTE_RESERVED_LOW } from '../../../arch/control-registers.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../mmu/walk.ts';
import { CR4, EFER } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';

const PRESENT = 1;
const RESERVED_HIGH = -(2 ** (PHYSICAL_ADDRESS_BITS - 32)) | 0;
const bytes = new Uint8Array(32);
const entries = new Int32Array(bytes.buffer);

/** Whether these registers select PAE paging. */
export function paePaging(cr0: number, cr4: number, efer: number): boolean {
  return (cr0 & CR0_BITS.PG) !== 0 && (cr4 & CR4.PAE) !== 0 && (efer & EFER.LME) === 0;
}

/**
 * Loads the four page-directory-pointer entries that CR3 (bits 31:0) points to. False after recording #GP (a reserved
 * bit is set) or a VM exit; then nothing changed. See: SDM 4.4.1 PDPTE Registers.
 */
export function loadPdptes(cpu: Processor, cr3: number): boolean {
  const guestPhysical = (cr3 & ~31) >>> 0;
  const second = cpu.mmu.walker.secondLevel;
  const physical = second === undefined ? guestPhysical : second.translate(guestPhysical, false, false, false);
  if (cpu.faulted) return false;
  cpu.memory.read(physical, bytes);
  for (let i = 0; i < 8; i += 2) {
    if ((entries[i] & PRESENT) === 0 || ((entries[i] & PDPTE_RESERVED_LOW) | (entries[i + 1] & RESERVED_HIGH)) === 0)
      continue;
    cpu.generalProtection();
    return false;
  }
  setPdptes(cpu, entries);
  return true;
}

/** Puts four entries, eight halves, where paging and VMX look. */
export function setPdptes(cpu: Processor, halves: Int32Array): void {
  cpu.mmu.paging.pdpte.set(halves);
  cpu.words.set(halves, STATE.pdpte0 >> 2);
}
