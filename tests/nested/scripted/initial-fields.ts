// SPDX-License-Identifier: Apache-2.0
// Table: what the scripted L1 writes into its VMCS first, for an L2 in 64-bit mode or in protected mode with paging.
import { fieldExists } from '../../../src/arch/vmx/capabilities.ts';
import { fieldNamed } from '../../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../../src/arch/vmx/fields.ts';
import { PROFILES } from '../../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../../src/arch/vmx/profiles.ts';
import { AT, CR0_VALUE, CR4_PROTECTED, CR4_VALUE, EFER_VALUE, SELECTOR } from './layout.ts';

export type Mode = 'long' | 'protected';
type Row = readonly [FieldName, number | bigint];

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const PAT = 0x0007040600070406n;
const DATA_SEGMENTS = ['ES', 'SS', 'DS', 'FS', 'GS'] as const;

// prettier-ignore
const ALWAYS: readonly Row[] = [
  ...DATA_SEGMENTS.flatMap((name): Row[] => [
    [`HOST_${name}_SELECTOR`, SELECTOR.DATA], [`GUEST_${name}_SELECTOR`, SELECTOR.DATA],
    [`GUEST_${name}_LIMIT`, 0xffffffff], [`GUEST_${name}_AR_BYTES`, 0xc093],
  ]),
  ['HOST_CS_SELECTOR', SELECTOR.CODE64], ['HOST_TR_SELECTOR', SELECTOR.TASK],
  ['HOST_TR_BASE', AT.TSS], ['HOST_GDTR_BASE', AT.GDT], ['HOST_IDTR_BASE', AT.IDT],
  ['HOST_CR0', CR0_VALUE], ['HOST_CR3', AT.PML4], ['HOST_CR4', CR4_VALUE], ['HOST_RSP', AT.STACK1],
  ['HOST_IA32_PAT', PAT], ['HOST_IA32_EFER', EFER_VALUE],
  ['GUEST_IA32_PAT', PAT],
  ['GUEST_LDTR_AR_BYTES', 0x10000],
  ['GUEST_GDTR_BASE', AT.GDT], ['GUEST_GDTR_LIMIT', 0xff],
  ['GUEST_IDTR_LIMIT', 0xfff],
  ['GUEST_TR_LIMIT', 0x67], ['GUEST_TR_AR_BYTES', 0x8b],
  ['GUEST_CS_LIMIT', 0xffffffff],
  ['GUEST_CR0', CR0_VALUE], ['GUEST_DR7', 0x400], ['GUEST_RFLAGS', 2], ['GUEST_RSP', AT.STACK2], ['GUEST_RIP', AT.L2],
  ['VMCS_LINK_POINTER', ALL_ONES],
  ['EXCEPTION_BITMAP', 0xffffffff],
  ['IO_BITMAP_A', AT.IO_BITMAP_A_PAGE], ['IO_BITMAP_B', AT.IO_BITMAP_B_PAGE], ['MSR_BITMAP', AT.MSR_BITMAP_PAGE],
  ['VIRTUAL_APIC_PAGE_ADDR', AT.VIRTUAL_APIC], ['APIC_ACCESS_ADDR', AT.APIC_ACCESS],
  ['EPT_POINTER', AT.EPT | 0x1e], ['VIRTUAL_PROCESSOR_ID', 7],
  ['TSC_OFFSET', 0x123456],
];

// prettier-ignore
const OF_MODE: { readonly [Name in Mode]: readonly Row[] } = {
  long: [
    ['GUEST_CS_SELECTOR', SELECTOR.CODE64], ['GUEST_CS_AR_BYTES', 0xa09b],
    ['GUEST_TR_SELECTOR', SELECTOR.TASK], ['GUEST_TR_BASE', AT.TSS],
    ['GUEST_IDTR_BASE', AT.IDT2],
    ['GUEST_CR3', AT.PML4], ['GUEST_CR4', CR4_VALUE], ['GUEST_IA32_EFER', EFER_VALUE],
  ],
  protected: [
    ['GUEST_CS_SELECTOR', SELECTOR.CODE32], ['GUEST_CS_AR_BYTES', 0xc09b],
    ['GUEST_TR_SELECTOR', SELECTOR.TASK32], ['GUEST_TR_BASE', AT.TSS32],
    ['GUEST_IDTR_BASE', AT.IDT32],
    ['GUEST_CR3', AT.PD32], ['GUEST_CR4', CR4_PROTECTED], ['GUEST_IA32_EFER', EFER_VALUE & ~0x500],
  ],
};

/** Those that the profile has. `onExit`: where L1 goes on. */
export function initialFields(profile: ProfileName, mode: Mode, onExit: number): Row[] {
  const rows: Row[] = [...ALWAYS, ...OF_MODE[mode], ['HOST_RIP', onExit]];
  return rows.filter(([field]) => fieldExists(PROFILES[profile], fieldNamed(field)));
}
