// SPDX-License-Identifier: Apache-2.0
import { WALK } from '../mmu/walk.ts';
import type { SecondLevel } from '../mmu/walk.ts';
import type { Mmu } from '../mmu/mmu.ts';

/** What the second dimension must be told, and asked, beside translating. */
export interface WalkObserver extends SecondLevel {
  /** A walk for this linear address begins. */
  begin(low: number, high: number, write: boolean, fetch: boolean): void;
  /** It ended without a guest-physical address: a page fault. */
  end(): void;
  /** False: what the last translation gave holds for this access only. */
  readonly lastCacheable: boolean;
}

/**
 * Stands between the MMU and its walker and buffers: the interface of `SecondLevel` has neither the linear address (an
 * EPT violation reports it) nor a way to keep a translation out of the TLB (the TPR of an APIC-access page is virtual).
 */
export function observeWalks(mmu: Mmu, observer: WalkObserver): void {
  const { walker, buffers } = mmu;
  const walk = walker.walk.bind(walker);
  walker.walk = (mode, low, high, write, fetch, accessClass) => {
    if (walker.secondLevel !== observer) return walk(mode, low, high, write, fetch, accessClass);
    observer.begin(low, high, write, fetch);
    const outcome = walk(mode, low, high, write, fetch, accessClass);
    if (outcome !== WALK.ok) observer.end();
    return outcome;
  };
  const fillData = buffers.fillData.bind(buffers);
  const fillFetch = buffers.fillFetch.bind(buffers);
  const mayFill = (): boolean => walker.secondLevel !== observer || observer.lastCacheable;
  buffers.fillData = (low, high, context, host, writable) => {
    if (mayFill()) fillData(low, high, context, host, writable);
  };
  buffers.fillFetch = (low, high, context, host) => {
    if (mayFill()) fillFetch(low, high, context, host);
  };
}
