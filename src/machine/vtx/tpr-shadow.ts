// SPDX-License-Identifier: Apache-2.0
// The task-priority register of the virtual-APIC page. See: SDM 30.1 Virtual APIC State

import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** Offset of VTPR in the virtual-APIC page, and of TPR in the APIC-access page. */
export const VTPR_OFFSET = 0x80;

export function vtprAddress(unit: VmxUnit): PhysicalAddress {
  return unit.controls.virtualApicPage + VTPR_OFFSET;
}

/** Bits 7:0 of VTPR. */
export function readVtpr(unit: VmxUnit): number {
  const { memory } = unit.cpu;
  const host = memory.host(vtprAddress(unit));
  return host === -1 ? 0xff : memory.u8[host];
}

/** Writes VTPR, bits 31:8 as 0. */
export function writeVtpr(unit: VmxUnit, value: number): void {
  unit.cpu.memory.write(vtprAddress(unit), Uint8Array.of(value, 0, 0, 0));
}

/** See: SDM 30.1.2 TPR Virtualization */
export function tprBelowThreshold(unit: VmxUnit): boolean {
  return readVtpr(unit) >>> 4 < unit.controls.tprThreshold;
}
