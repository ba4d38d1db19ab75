// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { BusMasterPort, PhysicalAddress } from '../hardware/memory.ts';
import type { HostMemory, HostPhysical } from '../hardware/vmx.ts';

/** The unit in which an L1's memory is placed in the machine's: what one EPT entry of the second level maps. */
export const CHUNK_BYTES = 0x20_0000;
const PAGE_OFFSET = 0xfff;
const FOUR_GIB = 0x1_0000_0000;

export interface L1MemoryDescription {
  /** Bytes, whole pages. What does not fit below the hole continues at 4 GiB. */
  readonly ramBytes: number;
  /** L1-physical start of the PCI hole. */
  readonly hole: PhysicalAddress;
  /** Where in the machine's memory L1's begins; not 0. */
  readonly start: HostPhysical;
  /** Shuffles the chunks by this seed: a mix-up of L1-physical and host-physical then fails at once. */
  readonly permute?: number;
}

/** Where each chunk of an L1's memory lies in the machine's: EPT01 as a table. Never the identity. */
export class L1Memory {
  readonly ramBytes: number;
  /** Host address by L1-physical chunk number; -1 where there is no memory. */
  readonly chunks: Float64Array;
  readonly #lowEnd: PhysicalAddress;
  readonly #highEnd: PhysicalAddress;
  readonly #host: HostMemory;

  constructor(host: HostMemory, description: L1MemoryDescription) {
    const { ramBytes, hole, start, permute } = description;
    assert(
      start > 0 && start % CHUNK_BYTES === 0 && hole % CHUNK_BYTES === 0,
      'chunks are aligned, and the map is not the identity',
    );
    this.#host = host;
    this.ramBytes = ramBytes;
    this.#lowEnd = Math.min(ramBytes, hole);
    this.#highEnd = FOUR_GIB + ramBytes - this.#lowEnd;
    const numbers = chunkNumbers(this.#lowEnd, this.#highEnd);
    assert(start + numbers.length * CHUNK_BYTES <= host.bytes, 'the machine has room for the memory of L1');
    const places = numbers.map((_, i) => start + i * CHUNK_BYTES);
    if (permute !== undefined) shuffle(places, numbers, permute);
    this.chunks = new Float64Array((numbers.at(-1) ?? 0) + 1).fill(-1);
    numbers.forEach((number, i) => (this.chunks[number] = places[i]));
  }

  /** Bytes of the machine's memory that an L1 of this size takes. */
  static hostBytes(ramBytes: number): number {
    return Math.ceil(ramBytes / CHUNK_BYTES) * CHUNK_BYTES;
  }

  isRam(address: PhysicalAddress): boolean {
    return address < this.#lowEnd || (address >= FOUR_GIB && address < this.#highEnd);
  }

  /** The host-physical address of a byte of L1's memory, or -1 where L1 has none. Contiguous within a chunk. */
  translate(address: PhysicalAddress): HostPhysical {
    if (!this.isRam(address)) return -1;
    const chunk = Math.floor(address / CHUNK_BYTES);
    return this.chunks[chunk] + (address - chunk * CHUNK_BYTES);
  }

  /** Whether the whole 2-MiB chunk around an address is memory, so that one large page can map it. */
  isWholeChunk(address: PhysicalAddress): boolean {
    const first = address - (address % CHUNK_BYTES);
    return this.isRam(first) && this.isRam(first + CHUNK_BYTES - 1);
  }

  /** Unsigned; all ones where there is no memory. `address` is 4-byte aligned. */
  read32(address: PhysicalAddress): number {
    const at = this.translate(address);
    return at < 0 ? 0xffffffff : this.#host.read32(at) >>> 0;
  }

  /** `address` is 4-byte aligned; without memory nothing happens. */
  write32(address: PhysicalAddress, value: number): void {
    const at = this.translate(address);
    if (at >= 0) this.#host.write32(at, value);
  }

  /** Where there is no memory, bytes read as all ones. */
  read(address: PhysicalAddress, bytes: Uint8Array): void {
    const whole = this.#whole(address, bytes.length);
    if (whole >= 0) return this.#host.read(whole, bytes);
    this.#pieces(address, bytes, (at, piece) => (at < 0 ? piece.fill(0xff) : this.#host.read(at, piece)));
  }

  /** Where there is no memory, nothing is written. */
  write(address: PhysicalAddress, bytes: Uint8Array): void {
    const whole = this.#whole(address, bytes.length);
    if (whole >= 0) return this.#host.write(whole, bytes);
    this.#pieces(address, bytes, (at, piece) => {
      if (at >= 0) this.#host.write(at, piece);
    });
  }

  /** How a device of L1 reaches L1's memory. */
  busMaster(requesterId: number): BusMasterPort {
    return {
      requesterId,
      read: (address, bytes) => this.read(address, bytes),
      write: (address, bytes) => this.write(address, bytes),
    };
  }

  /** The host-physical address of a range of memory that lies within one page, as nearly all do; else -1. */
  #whole(address: PhysicalAddress, length: number): HostPhysical {
    return (address & PAGE_OFFSET) + length <= PAGE_OFFSET + 1 ? this.translate(address) : -1;
  }

  /** Splits a range where it crosses a chunk, or the end of memory. */
  #pieces(address: PhysicalAddress, bytes: Uint8Array, use: (at: HostPhysical, piece: Uint8Array) => void): void {
    for (let done = 0; done < bytes.length;) {
      const from = address + done;
      const borders = [this.#lowEnd, FOUR_GIB, this.#highEnd, (Math.floor(from / CHUNK_BYTES) + 1) * CHUNK_BYTES];
      const end = Math.min(address + bytes.length, ...borders.filter((border) => border > from));
      use(this.translate(from), bytes.subarray(done, end - address));
      done = end - address;
    }
  }
}

/** L1-physical chunk numbers that hold memory, in order. */
function chunkNumbers(lowEnd: PhysicalAddress, highEnd: PhysicalAddress): number[] {
  const low = Math.ceil(lowEnd / CHUNK_BYTES);
  const high = Math.ceil((highEnd - FOUR_GIB) / CHUNK_BYTES);
  const count = (n: number, first: number): number[] => Array.from({ length: n }, (_, i) => first + i);
  return [...count(low, 0), ...count(high, FOUR_GIB / CHUNK_BYTES)];
}

/** Fisher-Yates from a seed; a chunk that would land on its own number changes places with its neighbour. */
function shuffle(places: number[], numbers: readonly number[], seed: number): void {
  let random = seed >>> 0 || 1;
  const swap = (a: number, b: number): void => {
    [places[a], places[b]] = [places[b], places[a]];
  };
  for (let i = places.length - 1; i > 0; i--) {
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    swap(i, (random >>> 0) % (i + 1));
  }
  const fixed = (i: number): boolean => places[i] === numbers[i] * CHUNK_BYTES;
  for (let i = 0; i < places.length; i++) {
    const other = places.findIndex(
      (place, j) => j !== i && place !== numbers[i] * CHUNK_BYTES && places[i] !== numbers[j] * CHUNK_BYTES,
    );
    if (fixed(i) && other >= 0) swap(i, other);
  }
}
