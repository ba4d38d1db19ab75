// SPDX-License-Identifier: Apache-2.0
import { walkPages } from '../decode/page-walk.ts';
import type { PagingState } from '../decode/page-walk.ts';

/** A level's physical memory, to look at. Bytes where there is none read as all ones. */
export interface PhysicalReader {
  read(address: number, bytes: Uint8Array): void;
}

const PAGE = 0x1000;
const [CR0, CR4_PAE, EFER] = [0x80000011, 1 << 5, 0xd00];
const SUPERVISOR_READ = { write: false, fetch: false, user: false, alignmentCheck: true };

/** The address space of 64-bit software, seen from outside: no access changes anything. Addresses are signed Numbers. */
export class LinearMemory {
  readonly #memory: PhysicalReader;
  readonly #state: PagingState;
  readonly #words = new Uint8Array(8);
  readonly #view = new DataView(this.#words.buffer);

  /** `cr3` as a signed or unsigned Number. */
  constructor(memory: PhysicalReader, cr3: number) {
    this.#memory = memory;
    this.#state = {
      ...{ cr0: CR0, cr3Low: cr3 >>> 0, cr3High: Math.floor(cr3 / 0x1_0000_0000) % 2 ** 20, cr4: CR4_PAE, efer: EFER },
      ...{ pdptes: [], physicalAddressBits: 52, gigabytePages: true },
    };
  }

  /** Where a byte lies, and how many from it on lie there too; undefined: nothing is mapped. */
  translate(linear: number): { readonly physical: number; readonly bytes: number } | undefined {
    const read32 = (address: number): number => {
      this.#memory.read(address, this.#words.subarray(0, 4));
      return this.#view.getUint32(0, true);
    };
    const found = walkPages({ read32 }, this.#state, linear, SUPERVISOR_READ);
    if ('errorCode' in found) return undefined;
    const size = 2 ** found.pageShift;
    return { physical: found.physical, bytes: size - (found.physical % size) };
  }

  /** False: not all of it is mapped, and what is missing is 0. */
  read(linear: number, bytes: Uint8Array): boolean {
    let whole = true;
    for (let done = 0; done < bytes.length;) {
      const at = this.translate(linear + done);
      const inPage = PAGE - ((((linear + done) % PAGE) + PAGE) % PAGE);
      const piece = bytes.subarray(done, done + (at?.bytes ?? inPage));
      if (at === undefined) whole = false;
      else this.#memory.read(at.physical, piece);
      done += piece.length;
    }
    return whole;
  }
  /** 8 bytes as a signed Number: exact for addresses; undefined: not mapped. */
  pointer(linear: number): number | undefined {
    const bytes = new Uint8Array(8);
    if (!this.read(linear, bytes)) return undefined;
    return Number(new DataView(bytes.buffer).getBigInt64(0, true));
  }
}
