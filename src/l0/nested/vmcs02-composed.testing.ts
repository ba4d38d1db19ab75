// SPDX-License-Identifier: Apache-2.0
// vmcs02 as it is composed of a vmcs01 and a vmcs12 that hold different values in every field, without checks of either.

import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { FIELDS, fieldNamed } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { PROFILES } from '../../arch/vmx/profiles.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

// prettier-ignore
export const CONTROLS = ['PIN_BASED_VM_EXEC_CONTROL', 'CPU_BASED_VM_EXEC_CONTROL', 'SECONDARY_VM_EXEC_CONTROL', 'VM_EXIT_CONTROLS', 'VM_ENTRY_CONTROLS'] as const;
export const existing = FIELDS.filter((field) => fieldExists(PROFILES['modern-1'], field));

const MASKS = { u16: 0xffffn, u32: 0xffffffffn, u64: 2n ** 64n - 1n, natural: 2n ** 64n - 1n } as const;
/** Different for each field, each VMCS and each time. */
export function pattern(name: FieldName, salt: number): bigint {
  const { offset, width } = fieldNamed(name);
  const wide = BigInt(offset + 1) * 0x9e3779b97f4a7c15n + BigInt(salt) * 0x5851f42d4c957f2dn;
  return BigInt.asUintN(64, wide ^ (wide >> 29n)) & MASKS[width];
}
export const low = (value: bigint): number => Number(value & 0xffffffffn);
export const high = (value: bigint): number => Number(value >> 32n);
/** As the fields have them for which host-physical addresses or tables are looked up. */
export const POINTERS: { readonly [Name in FieldName]?: bigint } = {
  EPT_POINTER: 0x40001en,
  VIRTUAL_PROCESSOR_ID: 9n,
  GUEST_CR3: 0x800020n,
  VIRTUAL_APIC_PAGE_ADDR: 0x500000n,
  APIC_ACCESS_ADDR: 0x501000n,
  VMREAD_BITMAP: 0x502000n,
  VMWRITE_BITMAP: 0x503000n,
  VMCS_LINK_POINTER: 0x504000n,
  IO_BITMAP_A: 0x505000n,
  IO_BITMAP_B: 0x506000n,
  MSR_BITMAP: 0x507000n,
};

export type Bits = { readonly [Name in FieldName]?: number };
const ALL_PRIMARY = 0xffffffff & ~(1 << 24);
/** What L1 may ask for at once: nothing, everything, everything without EPT. */
export const VARIANTS: { readonly [name: string]: Bits } = {
  nothing: { PIN_BASED_VM_EXEC_CONTROL: 0x16, CPU_BASED_VM_EXEC_CONTROL: 0x401e172, VM_ENTRY_CONTROLS: 0x13fb },
  everything: {
    PIN_BASED_VM_EXEC_CONTROL: 0x7f,
    CPU_BASED_VM_EXEC_CONTROL: ALL_PRIMARY >>> 0,
    SECONDARY_VM_EXEC_CONTROL: 0xffffffff,
    VM_ENTRY_CONTROLS: 0xd3ff,
    VM_EXIT_CONTROLS: 0x7fffff,
  },
  'everything but EPT': {
    PIN_BASED_VM_EXEC_CONTROL: 0x7f,
    CPU_BASED_VM_EXEC_CONTROL: ALL_PRIMARY >>> 0,
    SECONDARY_VM_EXEC_CONTROL: 0xfffffffd,
    VM_ENTRY_CONTROLS: 0xd1ff,
  },
};

/** vmcs12 and vmcs01 with patterns in all fields, and `bits` in vmcs12's controls. vmcs02 has not been made of them. */
export function made(bits: Bits, f = new NestedFixture().start().writeExample()): NestedFixture {
  const { vmcs12 } = f.nestedVcpu;
  for (const { name, offset, area } of existing) {
    const own = (CONTROLS as readonly FieldName[]).includes(name) || area === 'exitInformation';
    if (!own) f.processor.set(name, pattern(name, 1));
    // The complement: not even the and or the or of both is one of them.
    const value = POINTERS[name] ?? pattern(name, 1) ^ MASKS[fieldNamed(name).width];
    if (!own) vmcs12.change(offset, low(value), high(value));
  }
  // Neither of these holds a single step back; in vmcs01 other bits are 1.
  f.processor.set('GUEST_INTERRUPTIBILITY_INFO', 7n);
  f.processor.set('GUEST_ACTIVITY_STATE', 5n);
  vmcs12.change(fieldNamed('GUEST_INTERRUPTIBILITY_INFO').offset, 8, 0);
  vmcs12.change(fieldNamed('GUEST_ACTIVITY_STATE').offset, 2, 0);
  // PAE paging, if IA-32e mode is off; shadow-on-EPT reads L1's memory then.
  vmcs12.change(fieldNamed('GUEST_CR0').offset, 0x80000031, 0);
  vmcs12.change(fieldNamed('GUEST_CR4').offset, 0x2020, 0);
  for (let i = 0; i < 8; i++) f.put32(0x800020 + 4 * i, 0x1000 * i + 1);
  f.processor.set('EXCEPTION_BITMAP', 0x20002);
  f.nestedVcpu.vmcs02.forget();
  for (const name of CONTROLS) vmcs12.change(fieldNamed(name).offset, bits[name] ?? 0, 0);
  return f;
}

/** vmcs02 is made, as at an entry, and read: field by field. Afterwards vmcs01 is current again. */
export function compose(f: NestedFixture): Map<FieldName, bigint> {
  f.nestedVcpu.compose();
  f.nestedVcpu.vmcs02.write();
  f.nestedVcpu.vmcs12.entered();
  const values = new Map(existing.map(({ name }) => [name, f.processor.get(name)]));
  f.processor.vmptrld(f.vcpu.vmcs01);
  return values;
}
export const in01 = (f: NestedFixture, name: FieldName): bigint => f.processor.get(name);
