// SPDX-License-Identifier: Apache-2.0
// A small valid VMCS, to start tests from: a 64-bit kernel guest under a 64-bit host.

import { PROFILES, VMCS_REVISION_ID } from './profiles.ts';
import type { VmxCapabilities } from './capabilities.ts';
import { CONTROL_GROUPS, ENTRY, EXIT } from './controls.ts';
import type { ControlGroup } from './controls.ts';
import { VMCS_REGION_SIZE } from './encoding.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import { mustBeOne } from './capabilities.ts';
import { processorFacts } from './processor-facts.ts';
import type { EntryContext, OtherFacts, ProcessorFacts } from './processor-facts.ts';
import { RegionView } from './vmcs-view.ts';

/** Values of the example's fields besides the controls. A pair is [low, high]; fields not listed are 0. */
// prettier-ignore
const EXAMPLE: { readonly [Name in FieldName]?: number | readonly [low: number, high: number] } = {
  VMCS_LINK_POINTER:    [0xffffffff, 0xffffffff],
  HOST_CR0:             0x80050033,
  HOST_CR3:             0x00100000,
  HOST_CR4:             0x000020a0,
  HOST_CS_SELECTOR:     0x10,
  HOST_SS_SELECTOR:     0x18,
  HOST_TR_SELECTOR:     0x40,
  HOST_FS_BASE:         [0x00001000, 0x00007fff],
  HOST_GS_BASE:         [0x00002000, 0xffff8880],
  HOST_TR_BASE:         [0x00003000, 0xfffffe00],
  HOST_GDTR_BASE:       [0x00004000, 0xfffffe00],
  HOST_IDTR_BASE:       [0x00000000, 0xfffffe00],
  HOST_RSP:             [0x00005000, 0xffffc900],
  HOST_RIP:             [0x81000000, 0xffffffff],
  HOST_IA32_EFER:       0x0d01,
  HOST_IA32_PAT:        [0x00070406, 0x00070406],
  GUEST_CR0:            0x80050033,
  GUEST_CR3:            0x00200000,
  GUEST_CR4:            0x000020a0,
  GUEST_DR7:            0x400,
  GUEST_CS_SELECTOR:    0x10,
  GUEST_SS_SELECTOR:    0x18,
  GUEST_TR_SELECTOR:    0x40,
  GUEST_CS_LIMIT:       0xffffffff,
  GUEST_SS_LIMIT:       0xffffffff,
  GUEST_TR_LIMIT:       0x67,
  GUEST_GDTR_LIMIT:     0x7f,
  GUEST_IDTR_LIMIT:     0xfff,
  GUEST_CS_AR_BYTES:    0xa09b,
  GUEST_SS_AR_BYTES:    0xc093,
  GUEST_DS_AR_BYTES:    0x10000,
  GUEST_ES_AR_BYTES:    0x10000,
  GUEST_FS_AR_BYTES:    0x10000,
  GUEST_GS_AR_BYTES:    0x10000,
  GUEST_LDTR_AR_BYTES:  0x10000,
  GUEST_TR_AR_BYTES:    0x8b,
  GUEST_GS_BASE:        [0x00002000, 0xffff8880],
  GUEST_TR_BASE:        [0x00003000, 0xfffffe00],
  GUEST_RSP:            [0x00005000, 0xffffc900],
  GUEST_RIP:            [0x81000000, 0xffffffff],
  GUEST_RFLAGS:         0x202,
  GUEST_IA32_EFER:      0x0d01,
  GUEST_IA32_PAT:       [0x00070406, 0x00070406],
};

const EXAMPLE_CONTROLS: { readonly [Group in ControlGroup]?: number } = {
  exit: EXIT.HOST_ADDRESS_SPACE_SIZE,
  entry: ENTRY.IA32E_MODE_GUEST,
};

export interface ExampleVmcs {
  readonly view: RegionView;
  readonly context: EntryContext & { facts: ProcessorFacts };
  /** What `readPhysical32` finds, by address; elsewhere 0. */
  readonly memory: Map<number, number>;
  set(name: FieldName, low: number, high?: number): void;
  /** Sets bits in the low half. */
  or(name: FieldName, bits: number): void;
  /** Clears bits in the low half. */
  clear(name: FieldName, bits: number): void;
}

/** A VMCS that passes every check on a processor with these capabilities and a 39-bit physical-address width. */
export function exampleVmcs(capabilities: VmxCapabilities = PROFILES['modern-1'], other: OtherFacts = {}): ExampleVmcs {
  const view = new RegionView(new Uint32Array(VMCS_REGION_SIZE / 4), 0);
  const memory = new Map<number, number>();
  view.words[0] = VMCS_REVISION_ID;
  const set = (name: FieldName, low: number, high = 0): void => view.write(OFFSET[name], low, high);
  for (const [name, value] of Object.entries(EXAMPLE) as [FieldName, number | readonly [number, number]][]) {
    if (typeof value === 'number') set(name, value);
    else set(name, value[0], value[1]);
  }
  for (const { group, field } of CONTROL_GROUPS) {
    set(field, mustBeOne(capabilities, group) | (EXAMPLE_CONTROLS[group] ?? 0));
  }
  return {
    view,
    memory,
    set,
    or: (name, bits) => set(name, view.low(OFFSET[name]) | bits, view.high(OFFSET[name])),
    clear: (name, bits) => set(name, view.low(OFFSET[name]) & ~bits, view.high(OFFSET[name])),
    context: {
      facts: processorFacts(capabilities, 39, other),
      longModeActive: true,
      inSmm: false,
      currentVmcs: 0x7000,
      readPhysical32: (address) => memory.get(address) ?? 0,
    },
  };
}
