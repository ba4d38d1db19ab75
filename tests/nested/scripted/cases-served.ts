// SPDX-License-Identifier: Apache-2.0
// Table: what L1 lets L2 do, and L0 cannot: MSRs, ports, CR8. L0 serves the exit in L2's name, and L1 must not see that:
// not in registers, nor in time, nor in what follows the instruction (traps, shadows, faults, events).
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import { BOTH, MODERN, VMCALL, X2APIC, at, eax, ecx, edx, finish, goTo, launch, msr, resume, set, wrmsr, x2apic } from './case.ts'; // prettier-ignore
import type { Case } from './case.ts';
import { dword } from '../../machine/assembler.ts';
import { gate } from './image.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';

const PASS: readonly ControlKey[] = ['primary.USE_MSR_BITMAPS'];
const TF = 0x100;
/** RDMSR, with the value kept where memory is compared. */
const reads = (index: number, slot: number): string =>
  `${ecx(index)} 0f 32 89 ${at(0, AT.DATA + 8 * slot)} 89 ${at(2, AT.DATA + 8 * slot + 4)}`;
/** Without IA32_MISC_ENABLE and IA32_XSS: they go with features that L0 hides (MONITOR; on the paper profile XSAVES). */
// prettier-ignore
const READABLE = [
  0x10, 0x1b, 0x3a, 0x3b, 0x8b, 0xfe, 0x174, 0x175, 0x176, 0x179, 0x1d9, 0x200, 0x277, 0x2ff, 0x480, 0x481, 0x482, 0x485,
  0x486, 0x488, 0x48b, 0x48c, 0x48d, 0x6e0, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000101,
  0xc0000102,
];
const PORTS = [0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xa1, 0x3f8, 0x3fd, 0xcfc, 0x608];
const handles = (vector: number) => (labels: Readonly<Record<string, number>>) => [
  [AT.IDT2 + 16 * vector, ...gate(labels['handler'])] as const,
];
/** Each line faults or exits, and L1 goes on with the next. */
function faults(lines: readonly string[]): Pick<Case, 'l2' | 'script' | 'exits'> {
  return {
    l2: [...lines.map((line, i) => `n${i}:\n${line}`), `n${lines.length}:`, VMCALL].join('\n'),
    script: (labels): Operation[] => [
      ...[...x2apic, launch],
      ...lines.flatMap((_line, i) => [goTo(labels[`n${i + 1}`]), resume]),
      finish,
    ],
    exits: [...lines.map(() => 'EXCEPTION_NMI' as const), 'VMCALL'],
  };
}

export const SERVED_CASES: readonly Case[] = [
  {
    name: 'MSRs that L2 reads',
    profiles: BOTH,
    controls: PASS,
    l2: [...READABLE.map((index, slot) => reads(index, slot)), VMCALL].join('\n'),
    script: () => [...x2apic, launch, finish],
    exits: ['VMCALL'],
  },
  {
    name: 'MSRs that L2 writes, and reads again',
    profiles: BOTH,
    controls: PASS,
    l2: [
      ...[0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102].map((index, slot) => `${wrmsr(index, 0x1230 + slot)} ${reads(index, slot)}`), // prettier-ignore
      `${ecx(0x277)} b8 06 04 00 00 ba 06 04 00 00 0f 30 ${reads(0x277, 10)}`,
      `${wrmsr(0x10, 0x777)} 0f 31 89 ${at(0, AT.DATA + 8 * 11)}`,
      `${wrmsr(0x3b, 0x100)} 0f 31 89 ${at(0, AT.DATA + 8 * 12)}`,
      `${ecx(0xc0000080)} 0f 32 34 01 0f 30 ${reads(0xc0000080, 13)}`,
      `${wrmsr(X2APIC.TPR, 0x20)} 44 0f 20 c0 89 ${at(0, AT.DATA + 8 * 14)}`,
      VMCALL,
    ].join('\n'),
    script: () => [...x2apic, launch, finish],
    exits: ['VMCALL'],
  },
  {
    name: 'MSRs and instructions that fault, by L1',
    profiles: BOTH,
    controls: PASS,
    ...faults([
      `${ecx(0x1234)} 0f 32`,
      `${ecx(0x1234)} 0f 30`,
      `${wrmsr(0x277, 0x02)}`, // a memory type that there is not
      `${wrmsr(0xc0000080, 0x1000_0000)}`,
      `${wrmsr(0x480, 0)}`,
      `${wrmsr(0x1b, 0x1)}`,
      `${wrmsr(X2APIC.EOI, 1)}`,
      `${ecx(X2APIC.EOI)} 0f 32`,
      `${ecx(0xc0000102)} 31 c0 ba 00 00 80 00 0f 30`, // not canonical
      `${ecx(5)} 0f 33`, // no such counter
      '48 c7 c0 00 00 00 80 48 f7 d0 0f 22 c0', // reserved bits of CR0
      'b8 00 00 00 80 0f 22 e0', // and of CR4
      '48 b8 00 00 00 00 01 00 00 00 44 0f 22 c0', // and of CR8
    ]),
  },
  {
    name: "faults of what L0 serves are L2's, through its IDT",
    profiles: BOTH,
    controls: PASS,
    fields: { EXCEPTION_BITMAP: 0 },
    memory: handles(13),
    l2: `${ecx(0x1234)} 0f 32\n90\n${wrmsr(0x1b, 1)}\n${VMCALL}\nhandler:\n5b\n48 83 04 24 02\n48 cf`,
    script: () => [...x2apic, launch, finish],
    exits: ['VMCALL'],
  },
  {
    name: 'ports',
    profiles: BOTH,
    l2: [
      ...PORTS.map((port, i) => `66 ba ${(port & 255).toString(16).padStart(2, '0')} ${(port >> 8).toString(16).padStart(2, '0')} ${['ec', '66 ed', 'ed'][i % 3]} 89 ${at(0, AT.DATA + 8 * i)}`), // prettier-ignore
      'b0 34 e6 43 b0 99 e6 40 e6 40 e4 40',
      VMCALL,
    ].join('\n'),
    exits: ['VMCALL'],
  },
  {
    name: 'CR8 of L2 is that of L1, without a shadow',
    profiles: BOTH,
    controls: ['pin.EXTERNAL_INTERRUPT_EXITING', 'exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT', 'primary.USE_MSR_BITMAPS'],
    l2: `b8 05 00 00 00 44 0f 22 c0\n44 0f 20 c3\n${wrmsr(X2APIC.SELF_IPI, 0x48)}\n90 90\n31 c0 44 0f 22 c0\n90 90\n${VMCALL}`,
    script: () => [...x2apic, launch, msr(X2APIC.EOI, 0), resume, finish],
    exits: ['EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: 'single steps over what L0 serves, in a shadow of STI and MOV SS',
    profiles: BOTH,
    controls: PASS,
    l2: `e4 80\n${ecx(0x1b)}\n0f 32\n66 8c d3 66 8e d3\ne4 80\n90\nfb\ne4 80\n90\n${VMCALL}`,
    script: () => [
      ...[...x2apic, set('GUEST_RFLAGS', TF | 2), launch],
      ...Array.from({ length: 8 }, () => resume),
      ...[set('GUEST_RFLAGS', 0x202), set('GUEST_PENDING_DBG_EXCEPTIONS', 0), resume, finish],
    ],
    exits: [...Array.from({ length: 9 }, () => 'EXCEPTION_NMI' as const), 'VMCALL'],
  },
  {
    name: 'breakpoints that what L0 serves meets: a port, the memory of OUTS and INS',
    profiles: BOTH,
    controls: PASS,
    l2: [
      // CR4.DE; DR0: port 80H, DR1: what is written there, DR2: 4 bytes that are read or written.
      ...['0f 20 e0', '83 c8 08', '0f 22 e0', `${eax(0x80)} 0f 23 c0`, `${eax(AT.DATA)} 0f 23 c8`],
      ...[`${eax(AT.DATA + 0x104)} 0f 23 d0`, `${eax(0x0f120415)} 0f 23 f8`, `${edx(0x80)} 48 31 c9`],
      ...['e4 80', 'e6 81', 'ee'],
      ...[`be ${dword(AT.DATA)} bf ${dword(AT.DATA)}`, '66 ba 81 00', '6e', '6c', '90'],
      ...[`be ${dword(AT.DATA + 0x103)} bf ${dword(AT.DATA + 0x101)} 83 c1 03`, 'f3 6e', '6d'],
      // Without CR4.DE no port is watched; a fault leaves nothing.
      ...['0f 20 e0', '83 e0 f7', '0f 22 e0', 'e4 80', 'bf 00 00 00 70', '6c', 'fault:', VMCALL],
    ].join('\n'),
    script: ({ fault }) => [...x2apic, launch, ...Array.from({ length: 6 }, () => resume), goTo(fault), resume, finish],
    exits: [...Array.from({ length: 7 }, () => 'EXCEPTION_NMI' as const), 'VMCALL'],
  },
  {
    name: 'the monitor trap flag over what L0 serves, and over its faults',
    profiles: MODERN,
    controls: [...PASS, 'primary.MONITOR_TRAP_FLAG'],
    memory: handles(13),
    fields: { EXCEPTION_BITMAP: 0 },
    l2: `e4 80\n${ecx(0x1b)}\n0f 32\n${ecx(0x1234)}\n0f 32\n90\n${VMCALL}\nhandler:\n5b\n48 83 04 24 02\n48 cf`,
    script: () => [...x2apic, launch, ...Array.from({ length: 9 }, () => resume), finish],
    exits: [...Array.from({ length: 9 }, () => 'MONITOR_TRAP_FLAG' as const), 'VMCALL'],
  },
  {
    name: "the timer of L1's local APIC, which L2 arms; windows and interrupts while L0 serves L2",
    profiles: BOTH,
    controls: [...PASS, 'pin.EXTERNAL_INTERRUPT_EXITING', 'exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT'],
    l2: `${wrmsr(0x83e, 0xb)}\n${wrmsr(X2APIC.TIMER, 0x41)}\n${wrmsr(0x838, 50)}\nloop:\ne4 80\n${ecx(0x839)} 0f 32\neb ~loop\nnext:\n${VMCALL}`,
    script: ({ next }) => [...x2apic, launch, msr(X2APIC.EOI, 0), goTo(next), resume, finish],
    exits: ['EXTERNAL_INTERRUPT', 'VMCALL'],
  },
];
