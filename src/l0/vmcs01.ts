// SPDX-License-Identifier: Apache-2.0
// vmcs01: how L0 has the hardware run L1. Which controls, why, and the state that does not depend on what L1 is.

import { assert } from '../base/assert.ts';
import { mustBeOne, supports } from '../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';
import { CONTROL_GROUPS, controlOf } from '../arch/vmx/controls.ts';
import type { ControlKey } from '../arch/vmx/controls.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import type { HostMemory, HostPhysical, RootProcessor } from '../hardware/vmx.ts';
import { PAGE_BYTES } from './host-allocator.ts';
import type { HostAllocator } from './host-allocator.ts';
import { openMsrs } from './msr-bitmap.ts';
import type { VcpuPages, VirtualMachine } from './virtual-machine.ts';

type Need = 'always' | 'if there';

// Windows are opened and closed at each entry, CR3 exiting and "IA-32e mode guest" follow L1's control registers.
// prettier-ignore
export const CONTROLS_01: readonly (readonly [ControlKey, Need, why: string])[] = [
  ['pin.EXTERNAL_INTERRUPT_EXITING',          'always',   'a timer or device of L1 wants L0: the kick'],
  ['pin.NMI_EXITING',                         'always',   'an NMI of the hardware is none of L1'],
  ['pin.VIRTUAL_NMIS',                        'always',   'blocking by NMI is that of the NMIs L0 injects'],
  ['primary.HLT_EXITING',                     'always',   'idle time is skipped'],
  ['primary.USE_TSC_OFFSETTING',              'always',   'RDTSC without an exit'],
  ['primary.MWAIT_EXITING',                   'always',   'not shown to L1: #UD'],
  ['primary.MONITOR_EXITING',                 'always',   'not shown to L1: #UD'],
  ['primary.CR8_LOAD_EXITING',                'always',   'CR8 is the task priority of L1\'s own local APIC'],
  ['primary.CR8_STORE_EXITING',               'always',   'the same'],
  ['primary.USE_IO_BITMAPS',                  'always',   'all ports exit, until one is assigned to L1'],
  ['primary.USE_MSR_BITMAPS',                 'always',   'most MSRs exit, some that are switched often do not'],
  ['primary.ACTIVATE_SECONDARY_CONTROLS',     'always',   'for EPT'],
  ['secondary.VIRTUALIZE_APIC_ACCESSES',      'always',   'accesses to the local APIC are told apart from all others'],
  ['secondary.ENABLE_EPT',                    'always',   'L1-physical is not host-physical'],
  ['secondary.ENABLE_VPID',                   'always',   'an exit keeps the translations'],
  ['secondary.UNRESTRICTED_GUEST',            'if there', 'real-address mode and no paging run as they are'],
  ['secondary.ENABLE_RDTSCP',                 'if there', 'else CPUID hides RDTSCP and RDPID'],
  ['secondary.ENABLE_INVPCID',                'if there', 'else CPUID hides INVPCID'],
  ['secondary.ENABLE_XSAVES_XRSTORS',         'if there', 'else CPUID hides XSAVES'],
  ['exit.SAVE_DEBUG_CONTROLS',                'always',   'DR7 and IA32_DEBUGCTL are L1\'s'],
  ['exit.HOST_ADDRESS_SPACE_SIZE',            'always',   'L0 is 64-bit software'],
  ['exit.SAVE_IA32_PAT',                      'if there', 'else it stays in the processor'],
  ['exit.SAVE_IA32_EFER',                     'if there', 'else L0 knows it: every WRMSR of it exits'],
  ['entry.LOAD_DEBUG_CONTROLS',               'always',   'as saved'],
  ['entry.LOAD_IA32_PAT',                     'if there', 'as saved'],
  ['entry.LOAD_IA32_EFER',                    'if there', 'else it comes from the MSR-load list'],
];

/** A host state that passes the checks. L0 is entered by a call: nothing of this is ever executed with. */
// prettier-ignore
const HOST_STATE: { readonly [Name in FieldName]?: number } = {
  HOST_CR0:         0x80000031,
  HOST_CR4:         0x00002020,
  HOST_CS_SELECTOR: 0x08,
  HOST_SS_SELECTOR: 0x10,
  HOST_TR_SELECTOR: 0x18,
  HOST_IA32_EFER:   0x500,
};
const PAT_RESET = 0x00070406;
const IA32_EFER = 0xc0000080;
const ALL_ONES = 0xffffffff;

/** Allocates what a virtual CPU needs, and fills in what does not change. */
export function allocateVcpuPages(
  memory: HostMemory,
  allocator: HostAllocator,
  capabilities: VmxCapabilities,
): VcpuPages {
  const page = (byte: number): HostPhysical => {
    const address = allocator.allocate();
    if (byte !== 0) memory.write(address, new Uint8Array(PAGE_BYTES).fill(byte));
    return address;
  };
  const eferField = supports(capabilities, 'entry.LOAD_IA32_EFER');
  const pages = {
    vmcs01: page(0),
    msrBitmap: page(0xff),
    ioBitmapA: page(0xff),
    ioBitmapB: page(0xff),
    msrList: eferField ? -1 : page(0),
  };
  memory.write32(pages.vmcs01, capabilities.IA32_VMX_BASIC?.low ?? 0);
  if (!eferField) memory.write32(pages.msrList, IA32_EFER);
  return pages;
}

/** Makes vmcs01 current, with everything but L1's registers. */
export function buildVmcs01(processor: RootProcessor, pages: VcpuPages, machine: VirtualMachine): void {
  const { capabilities } = processor;
  const set = (name: FieldName, low: number, high = 0): void => processor.write(OFFSET[name], low >>> 0, high >>> 0);
  const address = (name: FieldName, value: HostPhysical): void => set(name, value, Math.floor(value / 2 ** 32));
  openMsrs(machine.host, pages.msrBitmap, machine);
  processor.vmclear(pages.vmcs01);
  processor.vmptrld(pages.vmcs01);
  for (const [group, value] of controls01(capabilities)) set(group, value);
  for (const [name, value] of Object.entries(HOST_STATE) as [FieldName, number][]) set(name, value);
  set('HOST_IA32_PAT', PAT_RESET, PAT_RESET);
  set('GUEST_IA32_PAT', PAT_RESET, PAT_RESET);
  set('VMCS_LINK_POINTER', ALL_ONES, ALL_ONES);
  set('VIRTUAL_PROCESSOR_ID', processor.index + 1);
  set('EPT_POINTER', machine.ept01.pointer.low, machine.ept01.pointer.high);
  address('MSR_BITMAP', pages.msrBitmap);
  address('IO_BITMAP_A', pages.ioBitmapA);
  address('IO_BITMAP_B', pages.ioBitmapB);
  address('APIC_ACCESS_ADDR', machine.apicAccessPage);
  if (pages.msrList < 0) return;
  address('VM_ENTRY_MSR_LOAD_ADDR', pages.msrList);
  set('VM_ENTRY_MSR_LOAD_COUNT', 1);
}

/** The value of each control field. */
export function controls01(capabilities: VmxCapabilities): [FieldName, number][] {
  for (const [key, need] of CONTROLS_01)
    assert(need !== 'always' || supports(capabilities, key), `the machine has ${key}`);
  return CONTROL_GROUPS.filter(({ group }) => group !== 'tertiary').map(({ group, field }) => {
    const wanted = CONTROLS_01.map(([key]) => key).filter(
      (key) => controlOf(key).group === group && supports(capabilities, key),
    );
    return [
      field,
      wanted.reduce((value, key) => value | (1 << controlOf(key).bit), mustBeOne(capabilities, group)) >>> 0,
    ];
  });
}
