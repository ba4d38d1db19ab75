// SPDX-License-Identifier: Apache-2.0
// CR0 and CR4 in VMX operation: fixed bits, and the guest/host masks with their read shadows.
// See: SDM 24.8 Restrictions on VMX Operation, 25.6.6 Guest/Host Masks and Read Shadows for CR0 and CR4

import { SECONDARY } from '../../arch/vmx/controls.ts';
import { CR0 } from '../cpu/processor.ts';
import type { ActiveControls } from './active-controls.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** Whether VMX operation lets the register have this value. With "unrestricted guest", PE and PG are free. */
export function allowedControl(unit: VmxUnit, register: 0 | 4, value: number): boolean {
  const { facts, state, controls } = unit;
  if (!state.vmxOperation) return true;
  if (register === 4) return (~value & facts.cr4Fixed0) === 0 && (value & ~facts.cr4Fixed1) === 0;
  const free = state.nonRoot && controls.has2(SECONDARY.UNRESTRICTED_GUEST) ? CR0.PE | CR0.PG : 0;
  return (~value & facts.cr0Fixed0 & ~free) === 0 && (value & ~facts.cr0Fixed1) === 0;
}

/** What the guest reads: bits that the host owns from the shadow. */
export function shownControl(controls: ActiveControls, register: 0 | 4, value: number): number {
  const mask = register === 0 ? controls.cr0Mask : controls.cr4Mask;
  const shadow = register === 0 ? controls.cr0Shadow : controls.cr4Shadow;
  return ((value & ~mask) | (shadow & mask)) >>> 0;
}

/** What a write that does not exit leaves: bits that the host owns as they are. */
export function writtenControl(controls: ActiveControls, register: 0 | 4, value: number, current: number): number {
  const mask = register === 0 ? controls.cr0Mask : controls.cr4Mask;
  return ((value & ~mask) | (current & mask)) >>> 0;
}

/** Whether MOV to CR0 or CR4 of this value exits: it would change what the guest sees of a bit that the host owns. */
export function writeExits(controls: ActiveControls, register: 0 | 4, value: number): boolean {
  const mask = register === 0 ? controls.cr0Mask : controls.cr4Mask;
  const shadow = register === 0 ? controls.cr0Shadow : controls.cr4Shadow;
  return ((value ^ shadow) & mask) !== 0;
}

/** CLTS exits if the host owns TS and shows it as 1. */
export function cltsExits(controls: ActiveControls): boolean {
  return (controls.cr0Mask & controls.cr0Shadow & CR0.TS) !== 0;
}

/** LMSW can set PE and change MP, EM and TS. */
export function lmswExits(controls: ActiveControls, source: number): boolean {
  const { cr0Mask, cr0Shadow } = controls;
  const setsPe = (cr0Mask & source & ~cr0Shadow & CR0.PE) !== 0;
  return setsPe || (cr0Mask & (source ^ cr0Shadow) & (CR0.MP | CR0.EM | CR0.TS)) !== 0;
}
