// SPDX-License-Identifier: Apache-2.0

import type { Region } from '../oracle/memory-map.ts';

/** What an instruction of the reference ends with instead of completing. */
export class ReferenceFault extends Error {
  readonly vector: number;
  readonly errorCode: number;
  readonly address: bigint | undefined;

  constructor(vector: number, errorCode = 0, address?: bigint) {
    super(`vector ${vector}`);
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }
}

export type Access = {
  readonly address: bigint;
  readonly bytes: number;
  readonly write: boolean;
  /** Through SS: what is not canonical is a stack fault. */
  readonly stack: boolean;
  /** RFLAGS.AC, with CR0.AM at CPL 3. */
  readonly aligned: boolean;
};

const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
const ALIGNMENT_CHECK = 17;
/** See: SDM Volume 3 4.7 Page-Fault Exceptions. */
const ERROR = { present: 1, write: 2, user: 4, fetch: 16 };

/** The user's pages, and every way they may refuse. Alignment comes before the page, as it does on the processor behind the vectors. */
export class ReferenceMemory {
  readonly #regions: readonly { readonly region: Region; readonly bytes: Uint8Array }[];

  constructor(regions: readonly Region[]) {
    this.#regions = regions.map((region) => ({ region, bytes: new Uint8Array(region.length) }));
  }

  #find(address: bigint) {
    return this.#regions.find(({ region: { start, length } }) => address >= start && address < BigInt(start + length));
  }

  check({ address, bytes, write, stack, aligned }: Access): void {
    for (const end of [address, address + BigInt(bytes - 1)])
      if (BigInt.asUintN(64, BigInt.asIntN(48, end)) !== end)
        throw new ReferenceFault(stack ? STACK_FAULT : GENERAL_PROTECTION);
    if (aligned && address % BigInt(bytes) !== 0n) throw new ReferenceFault(ALIGNMENT_CHECK);
    for (let n = 0; n < bytes; n++) {
      const found = this.#find(address + BigInt(n));
      if (found && (!write || found.region.write)) continue;
      const errorCode = ERROR.user | (write ? ERROR.write : 0) | (found ? ERROR.present : 0);
      throw new ReferenceFault(PAGE_FAULT, errorCode, address + BigInt(n));
    }
  }

  /** The bytes of code that are there from `address` on, at most 15. */
  fetch(address: bigint): Uint8Array {
    const bytes: number[] = [];
    for (let n = 0; n < 15; n++) {
      const found = this.#find(address + BigInt(n));
      if (!found?.region.execute) break;
      bytes.push(found.bytes[Number(address) + n - found.region.start]);
    }
    return Uint8Array.from(bytes);
  }

  load(address: bigint, bytes: number): bigint {
    return this.read(address, bytes).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
  store(address: bigint, bytes: number, value: bigint): void {
    this.write(
      address,
      Uint8Array.from({ length: bytes }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn)),
    );
  }

  /** Whatever the protection is; what is not mapped reads as zeros. */
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#parts(address, length, (piece, at) => bytes.set(piece, at));
    return bytes;
  }
  write(address: bigint, bytes: Uint8Array): void {
    this.#parts(address, bytes.length, (piece, at) => piece.set(bytes.subarray(at, at + piece.length)));
  }

  /** The mapped pieces of a range, and where in the range they begin. */
  #parts(address: bigint, length: number, visit: (piece: Uint8Array, at: number) => void): void {
    for (const { region, bytes } of this.#regions) {
      const offset = Number(address) - region.start;
      const from = Math.max(0, offset);
      const to = Math.min(region.length, offset + length);
      if (from < to) visit(bytes.subarray(from, to), from - offset);
    }
  }
}

/** An instruction fetch beyond what is mapped. */
export function fetchFault(address: bigint): ReferenceFault {
  return new ReferenceFault(PAGE_FAULT, ERROR.user | ERROR.fetch, address);
}
