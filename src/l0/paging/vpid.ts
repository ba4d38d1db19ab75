// SPDX-License-Identifier: Apache-2.0
// L1 numbers its L2s freely; the hardware's tags are L0's. See: SDM 29.1 Virtual Processor Identifiers (VPIDs)

import { copyState, restoreState } from '../../devices/bus-state.ts';
import type { Halves, RootProcessor } from '../../hardware/vmx.ts';

/** Tags at a time: one for L2s without VPID, the others by VPID12. */
const SLOTS = 32;
const WITHOUT_VPID = 0;
const NOWHERE: Halves = { low: 0, high: 0 };

export const INVVPID_TYPE = { individualAddress: 0, singleContext: 1, allContext: 2, retainingGlobals: 3 } as const;
export type InvvpidType = (typeof INVVPID_TYPE)[keyof typeof INVVPID_TYPE];

export type VpidState = {
  /** VPID12 of each slot; 0: free. Slot 0 stays 0. */
  vpids: Uint16Array;
  /** When each slot was last used, in entries. */
  used: Float64Array;
  entries: number;
};

/** The tags of one virtual CPU: `first` .. `first + 31`, which no vmcs01 of the same processor uses. */
export class VpidMap {
  readonly state: VpidState = { vpids: new Uint16Array(SLOTS), used: new Float64Array(SLOTS), entries: 0 };
  readonly #processor: RootProcessor;
  readonly #first: number;
  readonly #tag01: number;

  /** `tag01`: the VPID of vmcs01. */
  constructor(processor: RootProcessor, first: number, tag01: number) {
    this.#processor = processor;
    this.#first = first;
    this.#tag01 = tag01;
  }

  /** The hardware tag with which L2 runs. `vpid12` 0: vmcs12 does not enable VPIDs. */
  enter(vpid12: number): number {
    if (vpid12 === 0) {
      this.#flushVpid0();
      return this.#first + WITHOUT_VPID;
    }
    const { state } = this;
    let slot = state.vpids.indexOf(vpid12);
    if (slot < 0) {
      slot = this.#victim();
      state.vpids[slot] = vpid12;
      // A tag that changes hands carries nothing over, nor does one that was never used.
      this.#processor.invvpid(INVVPID_TYPE.singleContext, this.#first + slot, NOWHERE);
    }
    state.used[slot] = ++state.entries;
    return this.#first + slot;
  }

  /** L2 without VPID exits to L1: both run as VPID 0000H, and the exit drops that. */
  leave(vpid12: number): void {
    if (vpid12 === 0) this.#flushVpid0();
  }

  /** INVVPID by L1, with operands that have been checked: on L2's tags, never on L1's own. */
  invalidate(type: InvvpidType, vpid12: number, linear: Halves): void {
    if (type === INVVPID_TYPE.allContext) return this.#invalidateAll();
    const slot = this.state.vpids.indexOf(vpid12);
    if (slot > 0) this.#processor.invvpid(type, this.#first + slot, linear);
  }

  save(): VpidState {
    return copyState(this.state);
  }
  restore(saved: VpidState): void {
    restoreState(this.state, saved);
  }

  #victim(): number {
    const { vpids, used } = this.state;
    const free = vpids.indexOf(0, 1);
    if (free > 0) return free;
    let oldest = 1;
    for (let slot = 2; slot < SLOTS; slot++) if (used[slot] < used[oldest]) oldest = slot;
    return oldest;
  }

  #invalidateAll(): void {
    this.state.vpids.forEach((vpid12, slot) => {
      if (vpid12 !== 0) this.#processor.invvpid(INVVPID_TYPE.singleContext, this.#first + slot, NOWHERE);
    });
  }

  /** See: SDM 29.4.3.1 Operations that Invalidate Cached Mappings */
  #flushVpid0(): void {
    this.#processor.invvpid(INVVPID_TYPE.singleContext, this.#first + WITHOUT_VPID, NOWHERE);
    this.#processor.invvpid(INVVPID_TYPE.singleContext, this.#tag01, NOWHERE);
  }
}
