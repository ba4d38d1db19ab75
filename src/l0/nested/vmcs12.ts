// SPDX-License-Identifier: Apache-2.0
// The VMCS that L1 believes in. From VMPTRLD until VMCLEAR, another VMPTRLD or VMXOFF it lives here, in L0's memory:
// what L1 does to its page meanwhile cannot change it between a check and its use. The layout is the processor's own,
// so VMREAD is a load, and a region that L1 prepared on the bare machine is one here.

import { LAUNCH_STATE_OFFSET, REVISION_ID_OFFSET, VMCS_REGION_SIZE } from '../../arch/vmx/encoding.ts';
import type { LaunchState } from '../../arch/vmx/encoding.ts';
import { ALL_GROUPS, GROUPS_EVERY_ENTRY, GROUPS_SAVED, groupsWritten } from '../../arch/vmx/entry-checks.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { RegionView } from '../../arch/vmx/vmcs-view.ts';
import { copyState, restoreState } from '../../devices/bus-state.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { RegionWriters } from '../../trace/field-writers.ts';
import { CONTROLS_12 } from './field-origins.ts';

/** The pointer when no VMCS is current. */
export const NO_VMCS = -1;
const SHADOW_INDICATOR = 0x80000000;
/** By region offset / 8: 1 for CONTROLS_12. */
const IS_CONTROL = new Uint8Array(VMCS_REGION_SIZE / 8);
for (const field of CONTROLS_12) IS_CONTROL[OFFSET[field] >> 3] = 1;

/** Where L1's regions lie. */
export interface RegionMemory {
  read(address: PhysicalAddress, bytes: Uint8Array): void;
  write(address: PhysicalAddress, bytes: Uint8Array): void;
}

export type Vmcs12State = {
  /** L1-physical address of the region, or NO_VMCS. */
  pointer: PhysicalAddress;
  words: Uint32Array;
  /** A byte for each 8 bytes of the region: the field has changed since vmcs02 was last made of it. */
  changed: Uint8Array;
  /** Flag: so has one of CONTROLS_12. */
  controlsChanged: number;
  /** Flag: vmcs02 has been made of another VMCS, or not at all. */
  allChanged: number;
  /** Groups of entry checks to be made, see `groupsWritten`. */
  groups: number;
};

export class Vmcs12 extends RegionView {
  readonly state: Vmcs12State;
  readonly #bytes: Uint8Array;
  /** Who wrote the fields, if anybody wants to know; and the instructions before the exit that saves some. */
  writers: RegionWriters | undefined;
  exitedAt = 0;

  constructor() {
    const words = new Uint32Array(VMCS_REGION_SIZE / 4);
    super(words, 0);
    this.#bytes = new Uint8Array(words.buffer);
    this.state = {
      pointer: NO_VMCS,
      words,
      changed: new Uint8Array(VMCS_REGION_SIZE / 8),
      controlsChanged: 1,
      allChanged: 1,
      groups: ALL_GROUPS,
    };
  }

  get pointer(): PhysicalAddress {
    return this.state.pointer;
  }
  get isCurrent(): boolean {
    return this.state.pointer !== NO_VMCS;
  }
  /** L1 loaded a region that it had marked as a shadow VMCS. */
  get isShadow(): boolean {
    return this.words[REVISION_ID_OFFSET >> 2] >= SHADOW_INDICATOR;
  }
  get launchState(): number {
    return this.words[LAUNCH_STATE_OFFSET >> 2];
  }
  set launchState(state: LaunchState) {
    this.words[LAUNCH_STATE_OFFSET >> 2] = state;
  }

  /** VMPTRLD: takes the region in. */
  load(memory: RegionMemory, pointer: PhysicalAddress): void {
    memory.read(pointer, this.#bytes);
    this.state.pointer = pointer;
    this.state.allChanged = 1;
    this.state.groups = ALL_GROUPS;
  }

  /** Puts the region back into L1's memory, where it stays current. */
  flush(memory: RegionMemory): void {
    if (this.isCurrent) memory.write(this.state.pointer, this.#bytes);
  }

  /** No VMCS is current; what there was has been flushed, or is lost with VMX operation. */
  drop(): void {
    this.state.pointer = NO_VMCS;
  }

  /** L1 writes a field; the value has been cut to the field's width. */
  change(offset: number, low: number, high: number): void {
    this.state.groups |= groupsWritten(offset, this.low(offset), low);
    this.write(offset, low, high);
    this.state.changed[offset >> 3] = 1;
    this.state.controlsChanged |= IS_CONTROL[offset >> 3];
  }
  /** An exit to L1 writes a field that VM entry checks; vmcs02 has the value already. */
  saveField(offset: number, low: number, high: number): void {
    const { words } = this;
    const at = offset >> 2;
    if (((words[at] ^ low) | (words[at + 1] ^ high)) === 0) return;
    words[at] = low;
    words[at + 1] = high;
    this.state.groups |= GROUPS_SAVED[offset >> 3];
    this.writers?.saved(offset, this.exitedAt, low, high);
  }
  hasChanged(offset: number): boolean {
    return (this.state.allChanged | this.state.changed[offset >> 3]) !== 0;
  }
  get controlsChanged(): boolean {
    return (this.state.allChanged | this.state.controlsChanged) !== 0;
  }
  /** An entry was made of it. */
  entered(): void {
    this.state.changed.fill(0);
    this.state.allChanged = this.state.controlsChanged = 0;
    this.state.groups = GROUPS_EVERY_ENTRY;
  }
  /** vmcs02 is no longer what was made of it. */
  forgetEntry(): void {
    this.state.allChanged = 1;
  }

  save(): Vmcs12State {
    return copyState(this.state);
  }
  restore(saved: Vmcs12State): void {
    restoreState(this.state, saved);
  }
}
