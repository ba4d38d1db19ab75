// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Processor } from '../cpu/processor.ts';

/** Reads device registers into host memory at `slot`, by the widest aligned accesses. */
export function readDevice(cpu: Processor, address: PhysicalAddress, size: number, slot: number): void {
  const { u8 } = cpu.memory;
  for (let done = 0; done < size;) {
    const width = pieceWidth(address + done, size - done);
    const value = cpu.bus.readMemory(address + done, width);
    for (let i = 0; i < width; i++) u8[slot + done + i] = Math.floor(value / 2 ** (8 * i));
    done += width;
  }
}

/** Writes device registers from host memory at `slot`. */
export function writeDevice(cpu: Processor, address: PhysicalAddress, size: number, slot: number): void {
  const { u8 } = cpu.memory;
  for (let done = 0; done < size;) {
    const width = pieceWidth(address + done, size - done);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + u8[slot + done + i];
    cpu.bus.writeMemory(address + done, width, value);
    done += width;
  }
}

function pieceWidth(address: PhysicalAddress, left: number): 1 | 2 | 4 {
  for (const width of [4, 2] as const) if (left >= width && address % width === 0) return width;
  return 1;
}
