// SPDX-License-Identifier: Apache-2.0
// What cached translations are tagged with, and how they are forgotten. A space's key begins with `Mmu.guestKey`:
// v VPID _, then e EPT root . accessed-and-dirty bit; both are absent in root operation, which is VPID 0000H.
// See: SDM 29.4 Caching Translation Information

import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { LinearAddress, Processor } from '../cpu/processor.ts';
import { INVEPT_TYPE, INVVPID_TYPE } from './capability-questions.ts';

function vpidKey(vpid: number): string {
  return vpid === 0 ? '' : `v${vpid}_`;
}
function eptKey(root: PhysicalAddress): string {
  return `e${root}.`;
}

/** The tag of a guest. `root` is -1 without EPT, `apicAccessPage` -1 without such a page. */
export function guestKey(
  vpid: number,
  root: PhysicalAddress,
  accessedDirty: boolean,
  apicAccessPage: PhysicalAddress,
): string {
  const ept = root < 0 ? '' : `${eptKey(root)}${accessedDirty ? 1 : 0}`;
  return `${vpidKey(vpid)}${ept}${apicAccessPage < 0 ? '' : `a${apicAccessPage}`}`;
}

/** Combined mappings: of one EPT root, or of all. */
export function forgetEpt(cpu: Processor, type: number, root: PhysicalAddress): void {
  const wanted = type === INVEPT_TYPE.singleContext ? eptKey(root) : 'e';
  cpu.mmu.buffers.forget((key) => key.slice(0, key.indexOf('|')).includes(wanted));
  cpu.mmu.contextChanged();
}

/** Mappings of a VPID, or of all but 0000H. More than is asked for may go: globals, and the page in other VPIDs. */
export function forgetVpid(cpu: Processor, type: number, vpid: number, linear: LinearAddress): void {
  const { mmu } = cpu;
  if (type === INVVPID_TYPE.individualAddress) return mmu.invalidatePage(linear);
  const prefix = type === INVVPID_TYPE.allContext ? 'v' : vpidKey(vpid);
  mmu.buffers.forget((key) => key.startsWith(prefix));
  mmu.contextChanged();
}

/** VM entries and exits without VPID. See: SDM 29.4.3.1 Operations that Invalidate Cached Mappings */
export function forgetVpid0(cpu: Processor): void {
  cpu.mmu.buffers.forget((key) => !key.startsWith('v'));
}
