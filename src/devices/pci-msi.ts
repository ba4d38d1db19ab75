// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { readLittleEndian, writeLittleEndian } from './bus-width.ts';
import type { PciCapability } from './pci-config.ts';

/** Offsets from the capability's start, 64-bit address and per-vector masking. See: PCI 6.8.1 MSI Capability Structure. */
const CONTROL = 0x02;
const ADDRESS = 0x04;
const ADDRESS_HIGH = 0x08;
const DATA = 0x0c;
const MASK = 0x10;
const PENDING = 0x14;

const CONTROL_ENABLE = 1 << 0;
const CONTROL_64_BIT = 1 << 7;
const CONTROL_MASKABLE = 1 << 8;

/** The MSI capability of a function with 1, 2, 4 … 32 vectors; all of its state lies in configuration space. */
export class Msi {
  readonly #vectors: number;
  readonly #config: Uint8Array;
  readonly #offset: number;
  readonly #send: (address: number, data: number) => void;

  /** `offset` is where `msiCapability(vectors)` lies in `config`. */
  constructor(vectors: number, config: Uint8Array, offset: number, send: (address: number, data: number) => void) {
    this.#vectors = vectors;
    this.#config = config;
    this.#offset = offset;
    this.#send = send;
  }

  get enabled(): boolean {
    return (this.#read(CONTROL, 2) & CONTROL_ENABLE) !== 0;
  }

  notify(vector: number): void {
    if (!this.enabled) return;
    if (this.#read(MASK, 4) & (1 << vector)) this.#write(PENDING, this.#read(PENDING, 4) | (1 << vector));
    else this.#message(vector);
  }

  /** After software wrote to the capability: what is pending and no longer masked goes out. */
  written(): void {
    if (!this.enabled) return;
    const ready = this.#read(PENDING, 4) & ~this.#read(MASK, 4);
    this.#write(PENDING, this.#read(PENDING, 4) & ~ready);
    for (let vector = 0; vector < this.#vectors; vector++) if (ready & (1 << vector)) this.#message(vector);
  }

  /** The vector replaces as many low bits of the data as Multiple Message Enable gives to the function. */
  #message(vector: number): void {
    const enabled = 1 << Math.min((this.#read(CONTROL, 2) >> 4) & 7, Math.log2(this.#vectors));
    const data = (this.#read(DATA, 2) & ~(enabled - 1)) | (vector & (enabled - 1));
    this.#send(this.#read(ADDRESS, 4) + this.#read(ADDRESS_HIGH, 4) * 2 ** 32, data);
  }

  #read(register: number, width: 2 | 4): number {
    return readLittleEndian(this.#config, this.#offset + register, width);
  }

  #write(register: number, value: number): void {
    writeLittleEndian(this.#config, this.#offset + register, 4, value);
  }
}

/** See: PCI 6.8.1.3 Message Control for MSI. */
export function msiCapability(vectors: number): PciCapability {
  const capable = Math.log2(vectors);
  assert(Number.isInteger(capable) && vectors <= 32, `MSI cannot have ${vectors} vectors`);
  const registers = new Uint8Array(PENDING + 4 - 2);
  const writable = new Uint8Array(registers.length);
  writeLittleEndian(registers, CONTROL - 2, 2, (capable << 1) | CONTROL_64_BIT | CONTROL_MASKABLE);
  writeLittleEndian(writable, CONTROL - 2, 2, CONTROL_ENABLE | (7 << 4));
  writeLittleEndian(writable, ADDRESS - 2, 4, 0xffff_fffc);
  writeLittleEndian(writable, ADDRESS_HIGH - 2, 4, 0xffff_ffff);
  writeLittleEndian(writable, DATA - 2, 2, 0xffff);
  writeLittleEndian(writable, MASK - 2, 4, 2 ** vectors - 1);
  return { id: 0x05, registers, writable };
}
