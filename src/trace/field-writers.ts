// SPDX-License-Identifier: Apache-2.0
// Who gave each VMCS field its value: two stores and the value at each VMWRITE, so that a failed entry can name the
// instruction. Kept beside the VMCS regions, in which nothing but the processor's data may lie.

import { FIELDS_END } from '../arch/vmx/encoding.ts';

const SLOTS = FIELDS_END >> 3;
const NEVER = -1;
/** Regions remembered of each kind; those longest unused are forgotten. */
const REGIONS = 64;

/** Where a field's value comes from. `instructions` counts those of the run, the writing one included. */
export type FieldWriter =
  | { readonly kind: 'vmwrite'; readonly rip: number; readonly instructions: number; readonly beforeVmclear: boolean }
  /** A VM exit that found another value in the guest than the field had. */
  | { readonly kind: 'exit'; readonly instructions: number; readonly beforeVmclear: boolean }
  /** The region's memory was written, by whatever instruction. */
  | { readonly kind: 'memory' }
  | { readonly kind: 'never'; readonly vmclear: number | undefined };

/** The fields of one VMCS region. Offsets are those of the region; RIPs are signed Numbers. */
export class RegionWriters {
  readonly #rip = new Float64Array(SLOTS);
  readonly #at = new Float64Array(SLOTS).fill(NEVER);
  readonly #low = new Uint32Array(SLOTS);
  readonly #high = new Uint32Array(SLOTS);
  readonly #byExit = new Uint8Array(SLOTS);
  #cleared = NEVER;

  /** VMWRITE at `rip` was instruction number `instructions` and left this value. */
  wrote(offset: number, rip: number, instructions: number, low: number, high: number): void {
    const slot = offset >> 3;
    this.#rip[slot] = rip;
    this.#note(slot, instructions, low, high, 0);
  }
  /** A VM exit after so many instructions left another value than there was. */
  saved(offset: number, instructions: number, low: number, high: number): void {
    this.#note(offset >> 3, instructions, low, high, 1);
  }
  /** VMCLEAR: from now on the region is memory, until VMPTRLD. */
  cleared(instructions: number): void {
    this.#cleared = instructions;
  }
  forget(): void {
    this.#at.fill(NEVER);
    this.#cleared = NEVER;
  }

  /** Takes over what `other`, a second copy of the same VMCS, knows better: what was written there later. */
  join(other: RegionWriters): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      if (other.#at[slot] <= this.#at[slot]) continue;
      this.#rip[slot] = other.#rip[slot];
      this.#note(slot, other.#at[slot], other.#low[slot], other.#high[slot], other.#byExit[slot]);
    }
  }

  /** Who gave the field at this offset the value that it has now. */
  writer(offset: number, low: number, high: number): FieldWriter {
    const slot = offset >> 3;
    const instructions = this.#at[slot];
    const vmclear = this.#cleared === NEVER ? undefined : this.#cleared;
    if (instructions === NEVER) return { kind: 'never', vmclear };
    if (this.#low[slot] !== low || this.#high[slot] !== high) return { kind: 'memory' };
    const beforeVmclear = vmclear !== undefined && vmclear >= instructions;
    if (this.#byExit[slot] === 1) return { kind: 'exit', instructions, beforeVmclear };
    return { kind: 'vmwrite', rip: this.#rip[slot], instructions, beforeVmclear };
  }

  #note(slot: number, instructions: number, low: number, high: number, byExit: number): void {
    this.#at[slot] = instructions;
    this.#low[slot] = low;
    this.#high[slot] = high;
    this.#byExit[slot] = byExit;
  }
}

/** Whose addresses a region's address is of: the machine's own, or those that L0 shows to L1. */
export type RegionSpace = 'machine' | 'L1';

/** All regions that are written to. */
export class FieldWriters {
  /** Instructions of the run so far, the current one included. Set by who runs the machine. */
  instructions: () => number = () => 0;
  readonly #regions: { readonly [Space in RegionSpace]: Map<number, RegionWriters> } = {
    machine: new Map(),
    L1: new Map(),
  };

  /** What is known of the region at this address; of a new one nothing. */
  region(space: RegionSpace, address: number): RegionWriters {
    const regions = this.#regions[space];
    const found = regions.get(address) ?? new RegionWriters();
    regions.delete(address);
    regions.set(address, found);
    if (regions.size > REGIONS) regions.delete(regions.keys().next().value as number);
    return found;
  }
}
