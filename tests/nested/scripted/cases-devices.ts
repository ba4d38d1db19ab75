// SPDX-License-Identifier: Apache-2.0
// Table: L2 at devices of L1: string instructions at ports that L1 passes through, and memory of devices that L1's EPT
// leads to. Under L0 all of this is emulated, so L2's own page tables and EPT12 count for each access.
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import { BOTH, MODERN, VMCALL, at, ecx, finish, goTo, launch, resume, set, skip, store } from './case.ts';
import type { Case } from './case.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';

const EPT: readonly ControlKey[] = ['secondary.ENABLE_EPT'];
const APIC: readonly ControlKey[] = ['primary.USE_TPR_SHADOW', 'secondary.VIRTUALIZE_APIC_ACCESSES'];
/** 2 MBytes of L2's linear addresses that lead to L1's local APIC. */
const LARGE = 6 * 0x200000;
const LARGE_PAGE = 0x93n;
const PAGE = 0x1000;
const LOCAL_APIC = 0xfee00000n;
const IO_APIC = 0xfec00000n;
const [NONE, R, ALL] = [0n, 1n, 7n];
const WRITE_BACK = 0x30n;
const first = AT.PAGED;

const page = (number: number, bits: bigint): Operation =>
  store(AT.EPT_PT + 8 * number, bits === 0n ? 0n : BigInt(AT.PAGED + PAGE * number) | WRITE_BACK | bits);
const device = (number: number, address: bigint): Operation => store(AT.EPT_PT + 8 * number, address | 7n);
const dwordOf = (value: number): string =>
  [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')).join(' ');
const edi = (value: number): string => `bf ${dwordOf(value)}`;
const esi = (value: number): string => `be ${dwordOf(value)}`;
const APIC_PAGE = first + 5 * PAGE;
/** The index of the local APIC's 2 MBytes in the table of its GByte, which is the table of the first GByte again. */
const LOCAL_APIC_INDEX = 503;
/** From L2's linear addresses, and by EPT12 if L2 has one. */
const mapLocalApic: readonly Operation[] = [
  store(AT.PD + 8 * (LARGE / 0x200000), LOCAL_APIC | LARGE_PAGE),
  store(AT.EPT_PDPT + 8 * 3, BigInt(AT.EPT_PD) | ALL),
  store(AT.EPT_PD + 8 * LOCAL_APIC_INDEX, LOCAL_APIC | 0x80n | ALL),
];

export const DEVICE_CASES: readonly Case[] = [
  {
    name: 'INS and OUTS: repeated, over the end of a page, backwards',
    profiles: BOTH,
    controls: EPT,
    l2: `66 ba 80 00\n${edi(first + PAGE - 2)}\n${ecx(5)}\nf3 6c\n${esi(AT.DATA)}\n6e\n${ecx(3)}\nf3 66 6f\nfd\n${ecx(2)}\nf3 6c\nfc\n6d\n${VMCALL}`,
    script: () => [launch, finish],
    exits: ['VMCALL'],
  },
  {
    name: 'INS and OUTS of pages that EPT12 forbids, and of page tables in one; page faults',
    profiles: BOTH,
    controls: EPT,
    l2: `66 ba 80 00\n${edi(first + PAGE - 2)}\n${ecx(4)}\nf3 6c\n${esi(first + 2 * PAGE)}\n6e\n${edi(first + 0x400000)}\n6c\n${edi(0x70000000)}\n6c\n${VMCALL}`,
    script: () => [
      ...[page(1, NONE), page(2, NONE), page(3, NONE)],
      ...[store(AT.PD + 8 * 5, BigInt(first + 3 * PAGE) | 7n), store(first + 3 * PAGE, BigInt(AT.DATA) | 3n), launch],
      ...[page(1, ALL), resume, page(2, R), resume, page(3, R), resume, page(3, ALL), resume],
      finish,
    ],
    exits: ['EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'EXCEPTION_NMI'],
  },
  {
    name: 'the local APIC and the I/O APIC, where EPT12 has them',
    profiles: BOTH,
    controls: EPT,
    l2: `8b ${at(0, APIC_PAGE + 0x20)}\n8b ${at(3, APIC_PAGE + 0x30)}\nc7 ${at(0, APIC_PAGE + 0xf0)} ff 01 00 00\n81 ${at(1, APIC_PAGE + 0x80)} 20 00 00 00\n8b ${at(1, APIC_PAGE + 0x80)}\nc7 ${at(0, APIC_PAGE + PAGE)} 01 00 00 00\n8b ${at(2, APIC_PAGE + PAGE + 0x10)}\n${VMCALL}`,
    script: () => [device(5, LOCAL_APIC), device(6, IO_APIC), launch, finish],
    exits: ['VMCALL'],
  },
  {
    name: 'MOVS from a device to a page that EPT12 forbids, and with accessed and dirty flags',
    profiles: MODERN,
    controls: EPT,
    fields: { EPT_POINTER: AT.EPT | 0x5e },
    l2: `${esi(APIC_PAGE + 0x30)}\n${edi(first + PAGE)}\na5\n${esi(APIC_PAGE + 0x20)}\n${edi(first + 0x400000)}\na5\n${VMCALL}`,
    script: () => [
      ...[device(5, LOCAL_APIC), page(1, R), page(3, R)],
      ...[store(AT.PD + 8 * 5, BigInt(first + 3 * PAGE) | 7n), store(first + 3 * PAGE, BigInt(AT.DATA) | 3n), launch],
      ...[page(1, ALL), resume, page(3, ALL), resume, finish],
    ],
    exits: ['EPT_VIOLATION', 'EPT_VIOLATION', 'VMCALL'],
  },
  {
    name: "L1's local APIC, for an L2 whose APIC-access page is another",
    profiles: BOTH,
    controls: APIC,
    l2: `8b ${at(0, LARGE + 0x20)}\nc7 ${at(0, LARGE + 0xf0)} ff 01 00 00\n8b ${at(3, LARGE + 0x30)}\n8b ${at(0, AT.APIC_ACCESS + 0x20)}\n${VMCALL}`,
    script: () => [...mapLocalApic, launch, skip, resume, finish],
    exits: ['APIC_ACCESS', 'VMCALL'],
  },
  {
    name: "L1's local APIC as the APIC-access page of L2, then memory as such, then the first again",
    profiles: BOTH,
    controls: APIC,
    fields: { APIC_ACCESS_ADDR: LOCAL_APIC },
    l2: `8b ${at(0, LARGE + 0x20)}\n8b ${at(0, LARGE + 0x30)}\n8b ${at(0, LARGE + 0x30)}\n${VMCALL}`,
    script: () => [
      ...[...mapLocalApic, launch, set('APIC_ACCESS_ADDR', AT.APIC_ACCESS), resume],
      ...[goTo(AT.L2), set('APIC_ACCESS_ADDR', LOCAL_APIC), resume, finish],
    ],
    exits: ['APIC_ACCESS', 'VMCALL', 'APIC_ACCESS'],
  },
];
