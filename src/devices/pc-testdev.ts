// SPDX-License-Identifier: Apache-2.0
import type { InterruptLine, InterruptRouter } from '../hardware/interrupts.ts';
import type { BusRegistry, MemoryMappedDevice, PortDevice } from '../hardware/memory.ts';
import { copyState, restoreState } from './bus-state.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { readLittleEndian, writeLittleEndian } from './bus-width.ts';

/** First port and count of each window. */
// prettier-ignore
const PORTS = {
  data:      { first: 0x00e0, count: 4,  name: 'pc-testdev data' },
  flush:     { first: 0x00e4, count: 4,  name: 'pc-testdev flush' },
  dataBytes: { first: 0x00e8, count: 4,  name: 'pc-testdev data, by bytes' },
  lines:     { first: 0x2000, count: 24, name: 'pc-testdev interrupt lines' },
} as const;
const ISA_LINES = 16;
/** Of the 8259A pair, no line of the bus. */
const CASCADE = 2;
const MEMORY_BASE = 0xff00_0000;
const MEMORY_BYTES = 0x1_0000;

/**
 * QEMU's pc-testdev, for kvm-unit-tests: four port bytes that read back (at two places), a port that flushes the page
 * mappings of an address, a port per interrupt line, and 64 KiB of device memory.
 */
export class PcTestDevice implements PortDevice, MemoryMappedDevice, Stateful {
  readonly state: { data: Uint8Array; memory: Uint8Array } = {
    data: new Uint8Array(4),
    memory: new Uint8Array(MEMORY_BYTES),
  };
  readonly #lines: readonly InterruptLine[];

  constructor(interrupts: InterruptRouter) {
    this.#lines = Array.from({ length: PORTS.lines.count }, (_, number) =>
      number < ISA_LINES && number !== CASCADE ? interrupts.isaLine(number) : interrupts.gsiLine(number),
    );
  }

  claim(registry: BusRegistry): void {
    for (const { first, count, name } of Object.values(PORTS)) registry.claimPorts(first, count, name, this);
    registry.claimMemory(MEMORY_BASE, MEMORY_BYTES, 'pc-testdev memory', this);
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    const { data, flush, dataBytes } = PORTS;
    const isData = (port >= data.first && port < flush.first) || (port >= dataBytes.first && port < 0xec);
    return isData ? readLittleEndian(this.state.data, port & 3, width) : 0;
  }

  /** A flush has no effect that a guest sees: mappings here are never stale. */
  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    const { flush, dataBytes, lines } = PORTS;
    if (port >= lines.first) {
      if (width === 1) this.#lines[port - lines.first].set(value !== 0);
    } else if (port < flush.first || port >= dataBytes.first) {
      writeLittleEndian(this.state.data, port & 3, width, value);
    }
  }

  readMemory(offset: number, width: 1 | 2 | 4): number {
    return readLittleEndian(this.state.memory, offset, width);
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    writeLittleEndian(this.state.memory, offset, width, value);
  }

  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
  }
}
