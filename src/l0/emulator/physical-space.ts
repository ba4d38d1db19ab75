// SPDX-License-Identifier: Apache-2.0
// The physical memory of the guest that runs, as L0's emulator reaches it in the processor's place: L1's as it is, L2's
// through EPT12. See: SDM 29.3 The Extended Page Table Mechanism (EPT)

import type { WalkMemory } from '../../decode/page-walk.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { NestedHooks } from '../nested-hooks.ts';
import type { Vcpu } from '../vcpu.ts';

/** EPT permissions that an access takes. */
export const NEEDS = { read: 1, write: 2, fetch: 4 } as const;

export class PhysicalSpace implements WalkMemory {
  readonly #vcpu: Vcpu;
  readonly #nested: NestedHooks | undefined;
  /** The access that exits, and whether it was one to L2's paging structures. */
  #refused: PhysicalAddress = -1;
  #needed = 0;
  #structure = false;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.#nested = vcpu.state.level === 2 ? vcpu.machine.nested : undefined;
  }

  /** An access since `begin` was forbidden: what came of it is worth nothing. */
  get refused(): boolean {
    return this.#refused >= 0;
  }
  begin(): void {
    this.#refused = -1;
  }

  /** Part of an entry of the guest's paging structures. */
  read32(address: PhysicalAddress): number {
    const at = this.#at(address, NEEDS.read, true);
    return at < 0 ? 0 : this.#vcpu.machine.memory.read32(at);
  }

  /** Sets bits of an entry that lacks them; false: forbidden. */
  setFlags(entry: PhysicalAddress, flags: number): boolean {
    const before = this.read32(entry);
    if (this.refused) return false;
    if ((before & flags) === flags) return true;
    const at = this.#at(entry, NEEDS.read | NEEDS.write, true);
    if (at >= 0) this.#vcpu.machine.memory.write32(at, (before | flags) >>> 0);
    return at >= 0;
  }

  /** L1-physical address of a byte of the guest; -1: forbidden. */
  locate(address: PhysicalAddress, needed: number): PhysicalAddress {
    return this.#at(address, needed, false);
  }

  /** L2 exits to L1, because of the access to `linear` that was forbidden. */
  exit(linear: number): void {
    this.#nested?.leaveByAccess(this.#vcpu, {
      ...{ address: this.#refused, needed: this.#needed, linear, structure: this.#structure },
    });
  }

  #at(address: PhysicalAddress, needed: number, structure: boolean): PhysicalAddress {
    if (this.#nested === undefined) return address;
    const at = this.#nested.toL1Physical(this.#vcpu, address, needed, structure);
    if (at < 0 && !this.refused) this.#refuse(address, needed, structure);
    return at;
  }
  #refuse(address: PhysicalAddress, needed: number, structure: boolean): void {
    this.#refused = address;
    this.#needed = needed;
    this.#structure = structure;
  }
}
