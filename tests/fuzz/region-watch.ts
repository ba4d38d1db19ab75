// SPDX-License-Identifier: Apache-2.0
// Whether a program writes to the region of its current VMCS as if it were memory: by L2, where EPT12 leads there, or by an
// MSR-store list. What comes of it the manual leaves open. See: SDM 25.11.1 Software Use of Virtual-Machine Control Structures
import { VMCS_REGION_SIZE } from '../../src/arch/vmx/encoding.ts';
import type { RegionMemory, Vmcs12 } from '../../src/l0/nested/vmcs12.ts';

/** Looks at the regions that L0 has taken in: nobody but L0 changes them until it puts them back. */
export class RegionWatch {
  private readonly vmcs12: Vmcs12;
  private readonly memory: RegionMemory;
  private readonly left = new Uint8Array(VMCS_REGION_SIZE);
  private readonly found = new Uint8Array(VMCS_REGION_SIZE);
  private overwritten = false;

  constructor(vmcs12: Vmcs12, memory: RegionMemory) {
    this.vmcs12 = vmcs12;
    this.memory = memory;
    const load = vmcs12.load.bind(vmcs12);
    const flush = vmcs12.flush.bind(vmcs12);
    vmcs12.load = (from, pointer) => {
      load(from, pointer);
      memory.read(pointer, this.left);
    };
    vmcs12.flush = (to) => {
      this.look();
      flush(to);
      if (vmcs12.isCurrent) memory.read(vmcs12.pointer, this.left);
    };
  }

  /** Since it was last asked. */
  takeOverwritten(): boolean {
    this.look();
    const { overwritten } = this;
    this.overwritten = false;
    return overwritten;
  }

  private look(): void {
    if (!this.vmcs12.isCurrent) return;
    this.memory.read(this.vmcs12.pointer, this.found);
    if (Buffer.compare(this.left, this.found) !== 0) this.overwritten = true;
  }
}
