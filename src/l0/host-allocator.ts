// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { copyState, restoreState } from '../devices/bus-state.ts';
import type { HostMemory, HostPhysical } from '../hardware/vmx.ts';

export const PAGE_BYTES = 0x1000;

export type HostAllocatorState = {
  /** A byte for each page, not 0 while it is in use. */
  used: Uint8Array;
  /** The page at which the next search begins. */
  cursor: number;
};

/** Hands out the pages that are L0's own: a range of the machine's memory which no L1 reaches. */
export class HostAllocator {
  readonly state: HostAllocatorState;
  /** The first page's address. */
  readonly start: HostPhysical;
  readonly #memory: HostMemory;

  /** `start` and `bytes`: whole pages. */
  constructor(memory: HostMemory, start: HostPhysical, bytes: number) {
    this.#memory = memory;
    this.start = start;
    this.state = { used: new Uint8Array(bytes / PAGE_BYTES), cursor: 0 };
  }

  get end(): HostPhysical {
    return this.start + this.state.used.length * PAGE_BYTES;
  }

  /** Pages that are not in use. */
  get free(): number {
    return this.state.used.reduce((count, used) => count - used, this.state.used.length);
  }

  /** A page of zeroes. Running out is for the caller to prevent: by `free`, and by freeing. */
  allocate(): HostPhysical {
    const { state } = this;
    let page = state.used.indexOf(0, state.cursor);
    if (page < 0) page = state.used.indexOf(0);
    assert(page >= 0, 'L0 has a page left');
    state.used[page] = 1;
    state.cursor = page + 1;
    const address = this.start + page * PAGE_BYTES;
    this.#memory.write(address, new Uint8Array(PAGE_BYTES));
    return address;
  }

  release(address: HostPhysical): void {
    const page = (address - this.start) / PAGE_BYTES;
    assert(this.state.used[page] === 1, `page ${address.toString(16)} is in use`);
    this.state.used[page] = 0;
  }

  save(): HostAllocatorState {
    return copyState(this.state);
  }

  restore(saved: HostAllocatorState): void {
    restoreState(this.state, saved);
  }
}
