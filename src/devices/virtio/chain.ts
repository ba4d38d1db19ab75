// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort, PhysicalAddress } from '../../hardware/memory.ts';
import { readLittleEndian } from '../bus-width.ts';
import { PROBLEM } from './problems.ts';
import type { Problem } from './problems.ts';

/** See: VIRTIO 2.7.5 The Virtqueue Descriptor Table. */
const DESCRIPTOR_BYTES = 16;
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;

/** `next` has 16 bits, so no chain reaches further into a table. */
const REACHABLE_ENTRIES = 0x10000;
/** High half of the first address that a PhysicalAddress cannot hold. */
export const ADDRESS_HIGH_LIMIT = 2 ** 20;

interface Buffer {
  readonly address: PhysicalAddress;
  readonly length: number;
}

/** A request: buffers the device reads, then buffers it writes, as the driver chained them. */
export class DescriptorChain {
  /** Index of the first descriptor, by which the driver knows the chain. */
  readonly head: number;
  readonly readable: Buffer[] = [];
  readonly writable: Buffer[] = [];
  /** In bytes. */
  readableLength = 0;
  writableLength = 0;

  constructor(head: number) {
    this.head = head;
  }

  /** Returns what is wrong with the buffer in this place, if anything is. */
  add(buffer: Buffer, writable: boolean): Problem | undefined {
    if (!writable && this.writable.length > 0) return PROBLEM.CHAIN_ORDER;
    if (writable) this.writableLength += buffer.length;
    else this.readableLength += buffer.length;
    if (this.readableLength + this.writableLength >= 2 ** 32) return PROBLEM.CHAIN_LENGTH;
    (writable ? this.writable : this.readable).push(buffer);
    return undefined;
  }
}

interface Descriptor extends Buffer {
  readonly addressHigh: number;
  readonly flags: number;
  readonly next: number;
}

function readDescriptor(memory: BusMasterPort, address: PhysicalAddress): Descriptor {
  const bytes = new Uint8Array(DESCRIPTOR_BYTES);
  memory.read(address, bytes);
  const addressHigh = readLittleEndian(bytes, 4, 4);
  return {
    address: readLittleEndian(bytes, 0, 4) + addressHigh * 2 ** 32,
    addressHigh,
    length: readLittleEndian(bytes, 8, 4),
    flags: readLittleEndian(bytes, 12, 2),
    next: readLittleEndian(bytes, 14, 2),
  };
}

/** Collects the chain that starts at entry `head` of the table, or returns what is wrong with it. */
export function walkChain(
  memory: BusMasterPort,
  table: PhysicalAddress,
  entries: number,
  head: number,
  indirectAllowed: boolean,
): DescriptorChain | Problem {
  const chain = new DescriptorChain(head);
  let place = { table, entries, indirect: !indirectAllowed };
  let index = head;
  for (let left = entries; left > 0; left--) {
    const descriptor = readDescriptor(memory, place.table + index * DESCRIPTOR_BYTES);
    if (descriptor.addressHigh >= ADDRESS_HIGH_LIMIT) return PROBLEM.BUFFER_ADDRESS;
    if (descriptor.flags & DESC_F_INDIRECT) {
      const problem = place.indirect ? PROBLEM.INDIRECT_REFUSED : indirectProblem(descriptor);
      if (problem !== undefined) return problem;
      const indirectEntries = Math.min(descriptor.length / DESCRIPTOR_BYTES, REACHABLE_ENTRIES);
      place = { table: descriptor.address, entries: indirectEntries, indirect: true };
      left = indirectEntries + 1;
      index = 0;
      continue;
    }
    const problem = chain.add(descriptor, (descriptor.flags & DESC_F_WRITE) !== 0);
    if (problem !== undefined) return problem;
    if ((descriptor.flags & DESC_F_NEXT) === 0) return chain;
    if (descriptor.next >= place.entries) return PROBLEM.NEXT_INDEX;
    index = descriptor.next;
  }
  return PROBLEM.CHAIN_LOOP;
}

/** See: VIRTIO 2.7.5.3.1 Driver Requirements: Indirect Descriptors. */
function indirectProblem({ flags, length }: Descriptor): Problem | undefined {
  const whole = length > 0 && length % DESCRIPTOR_BYTES === 0;
  return whole && (flags & DESC_F_NEXT) === 0 ? undefined : PROBLEM.INDIRECT_TABLE;
}

/** Goes through a chain's buffers of one direction from first byte to last, whatever their borders. */
export class ChainCursor {
  readonly #memory: BusMasterPort;
  readonly #buffers: readonly Buffer[];
  #buffer = 0;
  #offset = 0;
  /** Bytes not gone through. */
  remaining: number;

  constructor(memory: BusMasterPort, buffers: readonly Buffer[]) {
    this.#memory = memory;
    this.#buffers = buffers;
    this.remaining = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  }

  /** Fills `bytes` with the next ones of the chain; `remaining` must suffice. */
  read(bytes: Uint8Array): void {
    this.#advance(bytes, (address, part) => this.#memory.read(address, part));
  }

  write(bytes: Uint8Array): void {
    this.#advance(bytes, (address, part) => this.#memory.write(address, part));
  }

  #advance(bytes: Uint8Array, access: (address: PhysicalAddress, part: Uint8Array) => void): void {
    for (let done = 0; done < bytes.length;) {
      const { address, length } = this.#buffers[this.#buffer];
      const count = Math.min(length - this.#offset, bytes.length - done);
      if (count > 0) access(address + this.#offset, bytes.subarray(done, done + count));
      done += count;
      this.#offset += count;
      this.remaining -= count;
      if (this.#offset === length) {
        this.#buffer++;
        this.#offset = 0;
      }
    }
  }
}
