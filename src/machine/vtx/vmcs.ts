// SPDX-License-Identifier: Apache-2.0
import { ABORT_INDICATOR_OFFSET, LAUNCH_STATE_OFFSET, REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import type { LaunchState } from '../../arch/vmx/encoding.ts';
import { GROUPS_SAVED } from '../../arch/vmx/entry-checks.ts';
import { RegionView } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { RegionWriters } from '../../trace/field-writers.ts';
import type { Memory } from '../memory/memory.ts';

/** The VMCS pointer that is not valid. See: SDM 25.1 Overview. */
export const NO_VMCS = -1;

/** A VMCS in guest RAM: fields at their offsets of the region, read and written where they lie. */
export class Vmcs extends RegionView {
  /** Groups of entry checks that what VM exits saved makes worth checking again; whoever takes them sets 0. */
  savedGroups = 0;
  /** Who wrote the fields, if anybody wants to know; and the instructions before the exit that saves some. */
  writers: RegionWriters | undefined;
  exitedAt = 0;
  private readonly memory: Memory;

  constructor(memory: Memory) {
    super(new Uint32Array(memory.buffer), 0);
    this.memory = memory;
  }

  /** Looks at the region at a physical address, which must be RAM. */
  at(address: PhysicalAddress): this {
    this.first = this.memory.host(address) >>> 2;
    return this;
  }

  /** A VM exit writes a field that VM entry checks, of any width. */
  save(offset: number, low: number, high = 0): void {
    const { words } = this;
    const at = this.first + (offset >> 2);
    if (((words[at] ^ low) | (words[at + 1] ^ high)) === 0) return;
    words[at] = low;
    words[at + 1] = high;
    this.savedGroups |= GROUPS_SAVED[offset >> 3];
    this.writers?.saved(offset, this.exitedAt, words[at], words[at + 1]);
  }

  /** Writes a field of 32 or 16 bits. */
  set(offset: number, value: number): void {
    this.write(offset, value, 0);
  }
  /** A natural-width field as a signed Number: exact when it is a canonical address. */
  signed(offset: number): number {
    return (this.high(offset) | 0) * 0x100000000 + this.low(offset);
  }
  setSigned(offset: number, value: number): void {
    this.write(offset, value, Math.floor(value / 0x100000000));
  }

  get revision(): number {
    return this.word(REVISION_ID_OFFSET);
  }
  get launchState(): number {
    return this.word(LAUNCH_STATE_OFFSET);
  }
  set launchState(state: LaunchState) {
    this.words[this.first + (LAUNCH_STATE_OFFSET >> 2)] = state;
  }
  get abortIndicator(): number {
    return this.word(ABORT_INDICATOR_OFFSET);
  }
  set abortIndicator(indicator: number) {
    this.words[this.first + (ABORT_INDICATOR_OFFSET >> 2)] = indicator;
  }

  private word(offset: number): number {
    return this.words[this.first + (offset >> 2)];
  }
}

/** 4 bytes of physical memory, unsigned; all ones where there is no RAM. */
export function readPhysical32(memory: Memory, address: PhysicalAddress): number {
  const host = memory.host(address);
  return host === -1 ? 0xffffffff : memory.i32[host >>> 2] >>> 0;
}
