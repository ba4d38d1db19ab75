// SPDX-License-Identifier: Apache-2.0
// Whether a program writes to the region of a VMCS in use as if it were memory: by L1, by L2, or by an MSR-store list. What
// comes of it the manual leaves open. See: SDM 25.11.1 Software Use of Virtual-Machine Control Structures
import { assert } from '../../src/base/assert.ts';
import type { HostAddress } from '../../src/machine/memory/memory.ts';
import type { Side } from './machines.ts';

const PAGE = 0x1000;

/**
 * Looks at the bare machine, which keeps VMCSs in their regions. It tells of stores to pages that hold translated code, so
 * the pages of regions are made to seem so; how it writes a VMCS itself it does not tell.
 */
export class RegionWatch {
  private readonly side: Side;
  /** Pages of the machine's WebAssembly memory. */
  private readonly watched = new Set<number>();
  private overwritten = false;

  constructor(side: Side) {
    this.side = side;
    const { vmx, decoding } = side.unit;
    assert(vmx, 'VT-x');
    const { store } = decoding.translator;
    const codeWritten = store.codeWritten.bind(store);
    store.codeWritten = (host, length) => {
      codeWritten(host, length);
      const page = pageOf(host);
      if (!this.watched.has(page)) return;
      this.overwritten = true;
      store.codePages[page] = 1;
    };
    // When the room for translations is used up, no page holds any.
    const dropAll = store.dropAll.bind(store);
    store.dropAll = () => {
      dropAll();
      for (const page of this.watched) this.watch(page * PAGE);
    };
    const makeCurrent = vmx.makeCurrent.bind(vmx);
    const clear = vmx.clear.bind(vmx);
    vmx.makeCurrent = (address) => {
      makeCurrent(address);
      this.watch(side.pc.machine.memory.host(address));
    };
    vmx.clear = (address) => {
      clear(address);
      this.watched.delete(pageOf(side.pc.machine.memory.host(address)));
    };
  }

  /** A program is about to begin: no region is in use. */
  begin(): void {
    this.watched.clear();
    this.overwritten = false;
  }

  /** Since the program began. */
  get isOverwritten(): boolean {
    return this.overwritten;
  }

  private watch(host: HostAddress): void {
    const { unit } = this.side;
    this.watched.add(pageOf(host));
    unit.decoding.translator.store.codePages[pageOf(host)] = 1;
    unit.cpu.mmu.buffers.dropWriteTags(host);
  }
}

const pageOf = (host: HostAddress): number => Math.floor(host / PAGE);
