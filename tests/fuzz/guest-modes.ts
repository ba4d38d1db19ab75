// SPDX-License-Identifier: Apache-2.0
// Table: the modes in which L2 begins, as valid guest state on code that is there.
import type { ControlKey } from '../../src/arch/vmx/controls.ts';
import { CONTROL_GROUPS, controlOf } from '../../src/arch/vmx/controls.ts';
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { Dice } from '../machine/random-program.ts';
import { LAYOUT } from './layout.ts';

type Values = { readonly [Name in FieldName]?: number };

export interface GuestMode {
  readonly name: string;
  /** Without this control the mode cannot be. */
  readonly needs?: ControlKey;
  /** Names of controls that the mode decides. */
  readonly controls: readonly string[];
  set(vmcs: ExampleVmcs, dice: Dice): void;
}

const PAGE = 0x1000;
const CR0 = 0x80010031;
const CR4 = 0x26b0;
/** Segment registers in the order of their fields. */
const NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const;
const UNUSABLE = 0x10000;

function put(vmcs: ExampleVmcs, values: Values): void {
  for (const [name, value] of Object.entries(values) as [FieldName, number][]) vmcs.set(name, value >>> 0);
}

function control(vmcs: ExampleVmcs, key: ControlKey, on: boolean): void {
  const { group, bit } = controlOf(key);
  const row = CONTROL_GROUPS.find((each) => each.group === group);
  if (row === undefined) return;
  if (on) vmcs.or(row.field, 1 << bit);
  else vmcs.clear(row.field, 1 << bit);
}

/** All segments flat, with these rights for code and for the others. */
function flat(
  vmcs: ExampleVmcs,
  code: number,
  data: number,
  [codeSelector, dataSelector]: readonly [number, number],
): void {
  for (const name of NAMES) {
    vmcs.set(`GUEST_${name}_SELECTOR`, name === 'CS' ? codeSelector : dataSelector);
    vmcs.set(`GUEST_${name}_BASE`, 0);
    vmcs.set(`GUEST_${name}_LIMIT`, 0xffffffff);
    vmcs.set(`GUEST_${name}_AR_BYTES`, name === 'CS' ? code : data);
  }
  system(vmcs);
}

function system(vmcs: ExampleVmcs): void {
  control(vmcs, 'entry.IA32E_MODE_GUEST', false);
  put(vmcs, { GUEST_TR_SELECTOR: 0x18, GUEST_TR_BASE: LAYOUT.L2_TSS, GUEST_TR_LIMIT: 0x67, GUEST_TR_AR_BYTES: 0x8b });
  put(vmcs, { GUEST_LDTR_AR_BYTES: UNUSABLE, GUEST_RSP: LAYOUT.L2_STACK, GUEST_RIP: LAYOUT.L2_CODE });
  put(vmcs, { GUEST_CR0: CR0, GUEST_CR4: CR4, GUEST_IA32_EFER: 0 });
}

/** Real-address or virtual-8086 mode: base is selector * 16. */
function sixteen(vmcs: ExampleVmcs, rights: number): void {
  for (const name of NAMES) {
    const base = name === 'CS' ? LAYOUT.L2_CODE : name === 'SS' ? LAYOUT.L2_STACK - 0x8000 : LAYOUT.L2_DATA;
    vmcs.set(`GUEST_${name}_SELECTOR`, base >>> 4);
    vmcs.set(`GUEST_${name}_BASE`, base);
    vmcs.set(`GUEST_${name}_LIMIT`, 0xffff);
    vmcs.set(`GUEST_${name}_AR_BYTES`, rights);
  }
  system(vmcs);
  put(vmcs, { GUEST_RIP: 0, GUEST_RSP: 0x7000 });
}

function long(vmcs: ExampleVmcs): void {
  control(vmcs, 'entry.IA32E_MODE_GUEST', true);
  put(vmcs, { GUEST_CR3: LAYOUT.L2_PML4, GUEST_IA32_EFER: 0xd01 });
}

// prettier-ignore
export const GUEST_MODES: readonly GuestMode[] = [
  ...[1, 2, 3].map((): GuestMode => ({ name: '64-bit', controls: ['IA32E_MODE_GUEST'], set: (vmcs) => {
    flat(vmcs, 0xa09b, 0xc093, [0x08, 0x10]);
    long(vmcs);
  } })),
  { name: '64-bit user', controls: ['IA32E_MODE_GUEST'], set: (vmcs) => {
    flat(vmcs, 0xa0fb, 0xc0f3, [0x33, 0x3b]);
    long(vmcs);
  } },
  { name: 'compatibility', controls: ['IA32E_MODE_GUEST'], set: (vmcs) => {
    flat(vmcs, 0xc09b, 0xc093, [0x28, 0x10]);
    long(vmcs);
  } },
  { name: '32-bit', controls: ['IA32E_MODE_GUEST'], set: (vmcs) => {
    flat(vmcs, 0xc09b, 0xc093, [0x28, 0x10]);
    put(vmcs, { GUEST_CR3: LAYOUT.L2_PML4 + 4 * PAGE, GUEST_CR4: CR4 & ~0x20 });
  } },
  { name: 'PAE', controls: ['IA32E_MODE_GUEST'], set: (vmcs, dice) => {
    flat(vmcs, 0xc09b, 0xc093, [0x28, 0x10]);
    const pointer = LAYOUT.L2_PML4 + 6 * PAGE + 1;
    put(vmcs, { GUEST_CR3: LAYOUT.L2_PML4 + 5 * PAGE, GUEST_PDPTR0: pointer, GUEST_PDPTR1: dice.pick([0, pointer]) });
  } },
  { name: 'virtual-8086', controls: ['IA32E_MODE_GUEST'], set: (vmcs) => {
    sixteen(vmcs, 0xf3);
    put(vmcs, { GUEST_CR3: LAYOUT.L2_PML4 + 4 * PAGE, GUEST_CR4: CR4 & ~0x20, GUEST_RFLAGS: 0x20002 });
  } },
  { name: 'real-address', needs: 'secondary.UNRESTRICTED_GUEST', controls: ['IA32E_MODE_GUEST', 'UNRESTRICTED_GUEST', 'ENABLE_EPT', 'ACTIVATE_SECONDARY_CONTROLS'], set: (vmcs) => {
    sixteen(vmcs, 0x93);
    vmcs.set('GUEST_CS_AR_BYTES', 0x9b);
    put(vmcs, { GUEST_CR0: 0x10030, GUEST_CR4: CR4 & ~0x20, GUEST_CR3: 0, GUEST_RFLAGS: 2 });
    for (const key of ['primary.ACTIVATE_SECONDARY_CONTROLS', 'secondary.ENABLE_EPT', 'secondary.UNRESTRICTED_GUEST'] as const) control(vmcs, key, true);
  } },
  { name: 'protected, no paging', needs: 'secondary.UNRESTRICTED_GUEST', controls: ['IA32E_MODE_GUEST', 'UNRESTRICTED_GUEST', 'ENABLE_EPT', 'ACTIVATE_SECONDARY_CONTROLS'], set: (vmcs) => {
    flat(vmcs, 0xc09b, 0xc093, [0x28, 0x10]);
    put(vmcs, { GUEST_CR0: 0x10031, GUEST_CR4: CR4 & ~0x20, GUEST_CR3: 0 });
    for (const key of ['primary.ACTIVATE_SECONDARY_CONTROLS', 'secondary.ENABLE_EPT', 'secondary.UNRESTRICTED_GUEST'] as const) control(vmcs, key, true);
  } },
];
