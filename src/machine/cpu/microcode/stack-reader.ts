// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { RSP, SS } from '../state.ts';
import { RIGHTS } from './descriptors.ts';
import { alignmentFault, segmentLinear } from './effective-address.ts';

/** rSP as wide as the stack is: signed in 64-bit code, else unsigned, 32 or 16 bits by SS.B. */
export function stackPointer(cpu: Processor): number {
  if (cpu.code64) return cpu.getSigned(RSP * 8);
  return cpu.accessRights(SS) & RIGHTS.big ? cpu.reg32(RSP) : cpu.reg16(RSP);
}

/** rSP moved by some bytes, wrapping as the stack does. */
export function stackAt(cpu: Processor, distance: number): number {
  const pointer = stackPointer(cpu) + distance;
  if (cpu.code64) return pointer;
  return cpu.accessRights(SS) & RIGHTS.big ? pointer >>> 0 : pointer & 0xffff;
}

/** Several values read from the current stack before the instruction commits. */
class PoppedValues {
  /** Zero-extended; 8 bytes as signed Numbers. */
  readonly values = new Float64Array(16);
  /** The halves of 8-byte values, for those that need not be canonical. */
  readonly halves = new Int32Array(32);
  /** rSP above the last value read. */
  pointer = 0;

  /**
   * Reads `count` values of `size` bytes; they follow `skip` values read before, and `gap` bytes.
   * False when a fault was recorded.
   */
  read(cpu: Processor, size: number, count: number, skip = 0, gap = 0): boolean {
    this.pointer = stackAt(cpu, (skip + count) * size + gap);
    if (cpu.code64) return this.take(cpu, stackAt(cpu, skip * size + gap), size, count, skip);
    for (let i = skip; i < skip + count; i++)
      if (!this.take(cpu, stackAt(cpu, i * size + gap), size, 1, i)) return false;
    return true;
  }

  /** Values that lie next to each other. */
  private take(cpu: Processor, offset: number, size: number, count: number, skip: number): boolean {
    const linear = segmentLinear(cpu, SS, offset, size * count, false);
    if (cpu.faulted || alignmentFault(cpu, linear, size)) return false;
    const host = cpu.mmu.locate(linear, size * count, false, cpu.dataClass);
    if (host === -1) return false;
    const { view } = cpu.memory;
    for (let i = 0; i < count; i++) this.keep(view, host + i * size, size, skip + i);
    return true;
  }

  private keep(view: DataView, host: number, size: number, i: number): void {
    const low = size === 2 ? view.getUint16(host, true) : view.getUint32(host, true);
    const high = size === 8 ? view.getInt32(host + 4, true) : 0;
    this.halves[i * 2] = low;
    this.halves[i * 2 + 1] = high;
    this.values[i] = high * 0x100000000 + low;
  }
}

/** The one instance; its values hold until the next instruction reads. */
export const popped = new PoppedValues();
