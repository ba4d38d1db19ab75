// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { MemoryMappedDevice } from '../hardware/memory.ts';
import { mergeIntoDword, partOfDword, readLittleEndian, writeLittleEndian } from './bus-width.ts';
import type { PciCapability } from './pci-config.ts';

const CONTROL = 0x02;
const CONTROL_FUNCTION_MASK = 1 << 14;
const CONTROL_ENABLE = 1 << 15;

/** Dwords of a table entry. See: PCI 6.8.2.6 Message Address for MSI-X Table Entries. */
const ENTRY_DWORDS = 4;
const ENTRY_ADDRESS = 0;
const ENTRY_ADDRESS_HIGH = 1;
const ENTRY_DATA = 2;
const ENTRY_CONTROL = 3;
const ENTRY_MASKED = 1;

/** Where the pending bits lie in the BAR; the table is at its start. */
const PENDING_OFFSET = 0x800;
/** Size of the BAR that holds table and pending bits. */
export const MSIX_BAR_BYTES = 0x1000;
const MOST_VECTORS = PENDING_OFFSET / (4 * ENTRY_DWORDS);

export type MsixState = { table: Uint32Array; pending: Uint32Array };

/** Every entry is masked at reset. See: PCI 6.8.2.9 Vector Control for MSI-X Table Entries. */
export function resetMsixState(vectors: number): MsixState {
  const table = new Uint32Array(vectors * ENTRY_DWORDS);
  for (let vector = 0; vector < vectors; vector++) table[vector * ENTRY_DWORDS + ENTRY_CONTROL] = ENTRY_MASKED;
  return { table, pending: new Uint32Array(Math.ceil(vectors / 32)) };
}

/** See: PCI 6.8.2 MSI-X Capability and Table Structures. `bar` is the BAR of `MSIX_BAR_BYTES` bytes. */
export function msixCapability(vectors: number, bar: number): PciCapability {
  assert(vectors >= 1 && vectors <= MOST_VECTORS, `MSI-X cannot have ${vectors} vectors`);
  const registers = new Uint8Array(10);
  const writable = new Uint8Array(10);
  writeLittleEndian(registers, 0, 2, vectors - 1);
  writeLittleEndian(writable, 0, 2, CONTROL_ENABLE | CONTROL_FUNCTION_MASK);
  writeLittleEndian(registers, 2, 4, bar);
  writeLittleEndian(registers, 6, 4, PENDING_OFFSET | bar);
  return { id: 0x11, registers, writable };
}

/** MSI-X of one function, and the device behind its BAR: table, then pending bits. */
export class Msix implements MemoryMappedDevice {
  readonly state: MsixState;
  readonly #config: Uint8Array;
  readonly #offset: number;
  readonly #send: (address: number, data: number) => void;

  /** `offset` is where the capability lies in `config`. */
  constructor(state: MsixState, config: Uint8Array, offset: number, send: (address: number, data: number) => void) {
    this.state = state;
    this.#config = config;
    this.#offset = offset;
    this.#send = send;
  }

  get vectors(): number {
    return this.state.table.length / ENTRY_DWORDS;
  }

  get enabled(): boolean {
    return (this.#control() & CONTROL_ENABLE) !== 0;
  }

  #control(): number {
    return readLittleEndian(this.#config, this.#offset + CONTROL, 2);
  }

  notify(vector: number): void {
    if (!this.enabled || vector >= this.vectors) return;
    if (this.#masked(vector)) this.state.pending[vector >> 5] |= 1 << (vector & 31);
    else this.#message(vector);
  }

  /** After software wrote to the capability or the table: what is pending and no longer masked goes out. */
  written(): void {
    if (!this.enabled) return;
    for (let vector = 0; vector < this.vectors; vector++) {
      const bit = 1 << (vector & 31);
      if ((this.state.pending[vector >> 5] & bit) === 0 || this.#masked(vector)) continue;
      this.state.pending[vector >> 5] &= ~bit;
      this.#message(vector);
    }
  }

  #masked(vector: number): boolean {
    const entryMasked = this.state.table[vector * ENTRY_DWORDS + ENTRY_CONTROL] & ENTRY_MASKED;
    return entryMasked !== 0 || (this.#control() & CONTROL_FUNCTION_MASK) !== 0;
  }

  #message(vector: number): void {
    const entry = vector * ENTRY_DWORDS;
    const { table } = this.state;
    this.#send(table[entry + ENTRY_ADDRESS] + table[entry + ENTRY_ADDRESS_HIGH] * 2 ** 32, table[entry + ENTRY_DATA]);
  }

  readMemory(offset: number, width: 1 | 2 | 4): number {
    const { table, pending } = this.state;
    const words = offset < PENDING_OFFSET ? table : pending;
    return partOfDword(words[(offset & (PENDING_OFFSET - 1)) >> 2] ?? 0, offset, width);
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    const dword = offset >> 2;
    const { table } = this.state;
    if (dword >= table.length) return;
    const merged = mergeIntoDword(table[dword], offset, width, value);
    const field = dword % ENTRY_DWORDS;
    if (field === ENTRY_CONTROL) table[dword] = merged & ENTRY_MASKED;
    else table[dword] = field === ENTRY_ADDRESS ? merged & ~3 : merged;
    this.written();
  }
}
