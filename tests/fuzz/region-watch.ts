// SPDX-License-Identifier: Apache-2.0
// Whether a program writes to the region of its current VMCS as if it were memory: by L2, where EPT12 leads there, or by an
// MSR-store list. What comes of it the manual leaves open. See: SDM 25.11.1 Software Use of Virtual-Machine Control Structures
import { VMCS_REGION_SIZE } from '../../src/arch/vmx/encoding.ts';
import type { Vmcs12 } from '../../src/l0/nested/vmcs12.ts';

/** Looks at the regions that L0 has taken in: nobody but L0 changes them until it puts them back. */
export class RegionWatch {
  private readonly vmcs12: Vmcs12;
  private readonly pages: readonly Uint8Array[];
  private readonly left = new Uint8Array(VMCS_REGION_SIZE);
  private overwritten = false;

  /** `pages`: L1's memory, a page each, as large as a region. */
  constructor(vmcs12: Vmcs12, pages: readonly Uint8Array[]) {
    this.vmcs12 = vmcs12;
    this.pages = pages;
    const load = vmcs12.load.bind(vmcs12);
    const flush = vmcs12.flush.bind(vmcs12);
    vmcs12.load = (from, pointer) => {
      load(from, pointer);
      this.keep();
    };
    vmcs12.flush = (to) => {
      this.look();
      flush(to);
      this.keep();
    };
  }

  /** Since it was last asked. */
  takeOverwritten(): boolean {
    this.look();
    const { overwritten } = this;
    this.overwritten = false;
    return overwritten;
  }

  /** Undefined: none is current, or it is not in memory. */
  private get region(): Uint8Array | undefined {
    return this.vmcs12.isCurrent ? this.pages[this.vmcs12.pointer / VMCS_REGION_SIZE] : undefined;
  }
  private keep(): void {
    const { region } = this;
    if (region !== undefined) this.left.set(region);
  }
  private look(): void {
    const { region } = this;
    if (region !== undefined && Buffer.compare(this.left, region) !== 0) this.overwritten = true;
  }
}
