// SPDX-License-Identifier: Apache-2.0
import { CLASS } from '../../mmu/walk.ts';
import { CR4, RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { STATE } from '../state.ts';

/** Access class of implicit supervisor accesses: descriptor tables and task state. See: SDM 4.6 Access Rights. */
export function implicitClass(cpu: Processor): number {
  return cpu.cr4 & CR4.SMAP ? CLASS.supervisorSmap : CLASS.supervisor;
}

/** Access class that ordinary data accesses have at a privilege level other than the current one. */
export function dataClassAt(cpu: Processor, cpl: number): number {
  if (cpl === 3) return CLASS.user;
  return (cpu.words[STATE.flagsOther >> 2] & RFLAGS.AC) === 0 ? implicitClass(cpu) : CLASS.supervisor;
}

/** 8 bytes as a signed Number: exact when canonical. */
export function loadSigned(cpu: Processor, address: LinearAddress, accessClass: number): number {
  const host = cpu.mmu.locate(address, 8, false, accessClass);
  return host === -1 ? 0 : signedAt(cpu.memory.view, host);
}

/** A 64-bit value at a host address, as a signed Number. */
export function signedAt(view: DataView, host: number): number {
  return view.getInt32(host + 4, true) * 0x100000000 + view.getUint32(host, true);
}

/** Writes a signed Number as 64 bits. */
export function putSigned(view: DataView, host: number, value: number): void {
  view.setInt32(host, value | 0, true);
  view.setInt32(host + 4, Math.floor(value / 0x100000000), true);
}

/** 2, 4 or 8 bytes, zero-extended; 8 bytes as a signed Number. */
export function loadSized(cpu: Processor, address: LinearAddress, size: number, accessClass: number): number {
  if (size === 2) return cpu.load16(address, accessClass);
  return size === 4 ? cpu.load32(address, accessClass) : loadSigned(cpu, address, accessClass);
}
