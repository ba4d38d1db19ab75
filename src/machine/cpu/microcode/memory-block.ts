// SPDX-License-Identifier: Apache-2.0
import type { LinearAddress, Processor } from '../processor.ts';

/** Calls `piece` for each page that `length` bytes at a linear address touch. */
function forEachPage(
  address: LinearAddress,
  length: number,
  piece: (at: LinearAddress, from: number, to: number) => boolean,
): boolean {
  for (let from = 0; from < length;) {
    const at = address + from;
    const to = Math.min(length, from + 0x1000 - (at & 0xfff));
    if (!piece(at, from, to)) return false;
    from = to;
  }
  return true;
}

/** Fills `bytes` from memory; false when it faulted. Ordinary data accesses, a page at a time. */
export function loadBlock(cpu: Processor, address: LinearAddress, bytes: Uint8Array): boolean {
  cpu.breakpoints.note(address, bytes.length, false);
  return forEachPage(address, bytes.length, (at, from, to) => {
    const host = cpu.mmu.reach(at, false, cpu.dataClass);
    if (cpu.faulted) return false;
    if (host === -1) return cpu.loadBytes(at, bytes.subarray(from, to));
    bytes.set(cpu.memory.u8.subarray(host, host + to - from), from);
    return true;
  });
}

/** Writes `bytes` to memory that `probeBlock` found writable; false when it faulted after all. */
export function storeBlock(cpu: Processor, address: LinearAddress, bytes: Uint8Array): boolean {
  cpu.breakpoints.note(address, bytes.length, true);
  return forEachPage(address, bytes.length, (at, from, to) => {
    const host = cpu.mmu.reach(at, true, cpu.dataClass);
    if (cpu.faulted) return false;
    if (host === -1) return cpu.storeBytes(at, bytes.subarray(from, to));
    cpu.memory.noteWrite(host, to - from);
    cpu.memory.u8.set(bytes.subarray(from, to), host);
    return true;
  });
}

/** Whether all of `length` bytes may be written; records the fault when not. */
export function probeBlock(cpu: Processor, address: LinearAddress, length: number): boolean {
  return forEachPage(address, length, (at) => {
    cpu.mmu.reach(at, true, cpu.dataClass);
    return !cpu.faulted;
  });
}
