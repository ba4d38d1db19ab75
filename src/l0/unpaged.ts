// SPDX-License-Identifier: Apache-2.0
// L1 without paging on hardware that cannot run without it (no "unrestricted guest"): the hardware walks a page of
// L0's that maps the first 4 GiB to themselves, and L1's CR3 waits here. Real-address mode is beyond this.

import { OFFSET } from '../arch/vmx/fields.ts';
import { PAGE_BYTES } from './host-allocator.ts';
import type { Vcpu } from './vcpu.ts';

const { GUEST_CR3 } = OFFSET;
/** L1-physical, between the local APICs and the reset vector: no memory and no device of a PC lies there. */
const IDENTITY_ADDRESS = 0xfffb_c000;
/** 32-bit paging, 4-MiB pages, for everybody, dirty and accessed. See: SDM 4.3 32-Bit Paging. */
const LARGE_PAGE = 0xe7;

/** CR3 as L1 wrote it goes into the state, the map's address into the hardware. */
export function useIdentityMap(vcpu: Vcpu, cr3Low: number, cr3High: number): void {
  const { processor, state, machine } = vcpu;
  if (state.unpaged === 0) {
    machine.host.write(machine.identityPage, identityMap());
    machine.ept01.mapPage(IDENTITY_ADDRESS, machine.identityPage);
    processor.invept(1, machine.ept01.pointer);
  }
  Object.assign(state, { unpaged: 1, cr3Low: cr3Low >>> 0, cr3High: cr3High >>> 0 });
  processor.write(GUEST_CR3, IDENTITY_ADDRESS, 0);
}

/** With paging on again, L1 finds nothing at the map's address. */
export function leaveIdentityMap(vcpu: Vcpu): void {
  const { processor, state, machine } = vcpu;
  if (state.unpaged === 0) return;
  state.unpaged = 0;
  machine.ept01.unmapPage(IDENTITY_ADDRESS);
  processor.invept(1, machine.ept01.pointer);
}

function identityMap(): Uint8Array {
  const view = new DataView(new ArrayBuffer(PAGE_BYTES));
  for (let entry = 0; entry < 1024; entry++) view.setUint32(entry * 4, ((entry << 22) | LARGE_PAGE) >>> 0, true);
  return new Uint8Array(view.buffer);
}
