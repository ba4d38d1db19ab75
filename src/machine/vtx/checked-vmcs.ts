// SPDX-License-Identifier: Apache-2.0
import { ALL_GROUPS } from '../../arch/vmx/entry-checks.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';

/** VMCSs that a processor remembers besides the current one. */
const REMEMBERED = 8;
const NONE = -1;

/**
 * Which groups of entry checks are still to be made of VMCSs that are active but not current: a hypervisor that goes
 * back and forth between several need not have all rules checked each time. What is forgotten is checked anew.
 * VMCLEAR must forget: from then on software may write the region.
 */
export class CheckedVmcss {
  private readonly addresses = new Float64Array(REMEMBERED).fill(NONE);
  private readonly groups = new Int32Array(REMEMBERED);
  private next = 0;

  private slotOf(address: PhysicalAddress): number {
    const { addresses } = this;
    for (let slot = 0; slot < REMEMBERED; slot++) if (addresses[slot] === address) return slot;
    return -1;
  }

  /** The VMCS stops being current, with these groups to be checked. */
  keep(address: PhysicalAddress, groups: number): void {
    let slot = this.slotOf(NONE);
    if (slot < 0) {
      slot = this.next;
      this.next = (slot + 1) % REMEMBERED;
    }
    this.addresses[slot] = address;
    this.groups[slot] = groups;
  }

  /** Groups to be checked of a VMCS that becomes current; from now on the processor keeps them. */
  take(address: PhysicalAddress): number {
    const slot = this.slotOf(address);
    if (slot < 0) return ALL_GROUPS;
    this.addresses[slot] = NONE;
    return this.groups[slot];
  }

  /** The region is written other than by VMWRITE from now on, or was. */
  forget(address: PhysicalAddress): void {
    const slot = this.slotOf(address);
    if (slot >= 0) this.addresses[slot] = NONE;
  }
  forgetAll(): void {
    this.addresses.fill(NONE);
  }
}
