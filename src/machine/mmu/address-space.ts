// SPDX-License-Identifier: Apache-2.0
import type { TranslationBuffers } from './tlb.ts';

/** Which numbers the current address space has in the translation buffers. */
export class AddressSpace {
  /** The space of everything, and of global pages alone, which has no PCID; the latter is 0 without CR4.PGE. */
  number = 0;
  globals = 0;
  private readonly buffers: TranslationBuffers;
  /** What they were chosen for. */
  private guestKey = '';
  private pcid = -1;
  private bits = -1;
  private generation = -1;

  constructor(buffers: TranslationBuffers) {
    this.buffers = buffers;
  }

  /**
   * `guestKey`: VPID and EPT pointer; `bits`: what else translations depend on, `useGlobals` apart. Ring crossings come
   * here often, and nearly always stay in the same space.
   */
  choose(guestKey: string, pcid: number, bits: number, useGlobals: boolean): void {
    const { buffers } = this;
    const same = pcid === this.pcid && bits === this.bits && useGlobals === (this.globals !== 0);
    if (same && buffers.generation === this.generation && guestKey === this.guestKey) return;
    buffers.reserve(2);
    this.number = buffers.space(`${guestKey}|${pcid}|${bits}`);
    this.globals = useGlobals ? buffers.space(`${guestKey}|global|${bits}`) : 0;
    this.guestKey = guestKey;
    this.pcid = pcid;
    this.bits = bits;
    this.generation = buffers.generation;
  }

  /** Low bits of the tags of an access class. */
  context(accessClass: number): number {
    return this.number * 4 + accessClass;
  }
  globalContext(accessClass: number): number {
    return this.globals * 4 + accessClass;
  }
}
