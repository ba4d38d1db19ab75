// SPDX-License-Identifier: Apache-2.0
// Table: exceptions, debug traps, the monitor trap flag and triple faults; task switches; entries that fail.
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import type { ExitReasonName } from '../../../src/arch/vmx/exit-reasons.ts';
import { ENCODING } from '../../../src/arch/vmx/fields.ts';
import { BOTH, ICR, MODERN, VMCALL, X2APIC, at, ecx, finish, goTo, inject, launch, msr, resume, set, skip, store, x2apic } from './case.ts'; // prettier-ignore
import type { Case } from './case.ts';
import { controlsField, gate } from './image.ts';
import type { Operation } from './image.ts';
import { AT, SELECTOR } from './layout.ts';

const MTF: readonly ControlKey[] = ['primary.MONITOR_TRAP_FLAG'];
const PENDING_BS = 0x4000;
const TF = 0x100;
const handles = (vector: number) => (labels: Readonly<Record<string, number>>) => [
  [AT.IDT2 + 16 * vector, ...gate(labels['handler'])] as const,
];
/** A label of each exception, and L1 goes on with the next. */
const EXCEPTIONS: readonly string[] = [
  '31 c9 f7 f1', // #DE
  'f1', // #DB
  'cc', // #BP
  '0f 0b', // #UD
  '48 b8 00 00 00 00 00 80 00 00 8a 00', // #GP, not canonical
  '48 bd 00 00 00 00 00 80 00 00 8a 45 00', // #SS
  '8a 04 25 00 00 00 70', // #PF
  'b8 50 00 00 00 8e d8', // #GP with a selector
  '8e d0', // #GP: SS
  'cd 33', // #GP: no gate, with the external bit clear
];

/** A 32-bit task gate and descriptors of TSSs are in the tables of L2 in protected mode. */
const TASK_GATE = BigInt(SELECTOR.OTHER_TASK32) << 16n | 0x8500n << 32n; // prettier-ignore
const FAR = `00 00 00 00 ${SELECTOR.OTHER_TASK32.toString(16)} 00`;

export const TRAP_CASES: readonly Case[] = [
  {
    name: 'exceptions',
    profiles: BOTH,
    l2: [...EXCEPTIONS.map((bytes, i) => `e${i}:\n${bytes}`), `e${EXCEPTIONS.length}:\n${VMCALL}`].join('\n'),
    script: (labels) => [launch, ...EXCEPTIONS.flatMap((_bytes, i) => [goTo(labels[`e${i + 1}`]), resume]), finish],
    exits: [...EXCEPTIONS.map(() => 'EXCEPTION_NMI' as const), 'VMCALL'],
  },
  {
    name: "exceptions while an event is delivered: injected, and L2's own; a double fault",
    profiles: BOTH,
    // Page faults and double faults exit.
    fields: { EXCEPTION_BITMAP: (1 << 14) | (1 << 8), GUEST_RFLAGS: 0x202, GUEST_IDTR_BASE: 0x7000_0000 },
    l2: `90 0f 0b\nnext:\ncd 50\n${VMCALL}`,
    script: (labels) => [
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.external(0x50)), launch],
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.nmi), resume],
      ...[
        set('VM_ENTRY_EXCEPTION_ERROR_CODE', 0x10),
        set('VM_ENTRY_INTR_INFO_FIELD', inject.faultWithCode(13)),
        resume,
      ],
      ...[set('VM_ENTRY_EXCEPTION_ERROR_CODE', 2), set('VM_ENTRY_INTR_INFO_FIELD', inject.faultWithCode(14)), resume],
      ...[set('VM_ENTRY_INSTRUCTION_LEN', 2), set('VM_ENTRY_INTR_INFO_FIELD', inject.software(0x50)), resume],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 0), resume, goTo(labels['next']), resume],
      // No gate for #PF in a short table: the two make a double fault.
      ...[set('GUEST_IDTR_BASE', AT.IDT2), set('GUEST_IDTR_LIMIT', 0), goTo(AT.L2 + 1), resume],
      ...[goTo(labels['next'] + 2), resume, finish],
    ],
    exits: [...Array.from({ length: 8 }, () => 'EXCEPTION_NMI' as const), 'VMCALL'],
  },
  {
    name: 'triple faults: of an instruction, and of an event that L1 injects',
    profiles: BOTH,
    fields: { EXCEPTION_BITMAP: 0, GUEST_IDTR_LIMIT: 0, GUEST_RFLAGS: 0x202 },
    l2: `90 0f 0b\n90 cd 50\n${VMCALL}`,
    script: () => [
      ...[launch, goTo(AT.L2 + 3), resume],
      ...[inject.external(0x50), inject.nmi, inject.fault(6), inject.fault(0)].flatMap((information) => [
        set('VM_ENTRY_INTR_INFO_FIELD', information),
        resume,
      ]),
      ...[set('VM_ENTRY_EXCEPTION_ERROR_CODE', 0), set('VM_ENTRY_INTR_INFO_FIELD', inject.faultWithCode(8)), resume],
      ...[set('VM_ENTRY_INSTRUCTION_LEN', 2), set('VM_ENTRY_INTR_INFO_FIELD', inject.software(0x50)), resume],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 0), goTo(AT.L2 + 6), resume, finish],
    ],
    exits: [...Array.from({ length: 8 }, () => 'TRIPLE_FAULT' as const), 'VMCALL'],
  },
  {
    name: 'debug traps: single steps, MOV SS that loses one, pending ones that L1 sets, and that an exit saves',
    profiles: BOTH,
    controls: ['primary.USE_MSR_BITMAPS'],
    l2: `66 8c d3\n90\n66 8e d3\n90\n90\n0f a2\n90\n${VMCALL}`,
    script: () => [
      ...[...x2apic, set('GUEST_RFLAGS', TF | 2), launch, resume, resume, resume, resume],
      ...[skip, set('GUEST_PENDING_DBG_EXCEPTIONS', PENDING_BS), resume],
      // Blocked by MOV SS, it comes after the next instruction; INIT saves it as it is.
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 2), set('GUEST_PENDING_DBG_EXCEPTIONS', PENDING_BS)],
      ...[msr(X2APIC.ICR, ICR.INIT), resume, resume, set('GUEST_RFLAGS', 2), resume, finish],
    ],
    // prettier-ignore
    exits: [
      'EXCEPTION_NMI', 'EXCEPTION_NMI', 'EXCEPTION_NMI', 'EXCEPTION_NMI', 'CPUID', 'EXCEPTION_NMI', 'INIT_SIGNAL',
      'EXCEPTION_NMI', 'VMCALL',
    ],
  },
  {
    name: 'breakpoints in debug registers',
    profiles: BOTH,
    controls: ['entry.LOAD_DEBUG_CONTROLS', 'exit.SAVE_DEBUG_CONTROLS'],
    l2: `b8 ${'00 60 12 00'}\n0f 23 c0\n48 bb :stop\n0f 23 cb\n88 ${at(0, AT.DATA)}\n90\n0f 21 f0\nstop:\n90\n${VMCALL}`,
    // DR0: a write of AT.DATA; DR1: the instruction at the label.
    script: () => [set('GUEST_DR7', 0x1040f), launch, resume, set('GUEST_DR7', 0x400), resume, finish],
    exits: ['EXCEPTION_NMI', 'EXCEPTION_NMI', 'VMCALL'],
  },
  {
    name: 'the monitor trap flag: after instructions, injections, exits, iterations and what L0 completes',
    profiles: MODERN,
    controls: MTF,
    memory: (labels) => [...handles(0x50)(labels)],
    fields: { EXCEPTION_BITMAP: 0, GUEST_RFLAGS: 0x202 },
    l2: `90\n0f a2\ne4 80\n${ecx(3)}\n${`bf ${'00 60 12 00'}`}\nf3 aa\ncd 50\n${VMCALL}\nhandler:\n90\n48 cf`,
    script: () => [
      ...[launch, resume, skip, resume, resume, resume, resume, resume, resume, resume, resume, resume],
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.external(0x50)), resume, resume, resume, resume],
      ...[
        set('VM_ENTRY_INTR_INFO_FIELD', inject.pendingTrap),
        resume,
        set('CPU_BASED_VM_EXEC_CONTROL', controlsField('modern-1', 'primary', [])),
      ],
      ...[resume, finish],
    ],
    // prettier-ignore
    exits: [
      'MONITOR_TRAP_FLAG', 'CPUID', ...trapFlags(12), 'VMCALL', ...trapFlags(1), 'VMCALL',
    ],
  },
  {
    name: 'task switches: JMP, CALL, IRET, a task gate, and one that L1 injects an event through',
    profiles: BOTH,
    mode: 'protected',
    fields: { EXCEPTION_BITMAP: 0xffffffff & ~(1 << 3) },
    memory: () => [
      [AT.IDT32 + 8 * 0x50, TASK_GATE],
      [AT.IDT32 + 8 * 3, TASK_GATE],
      [AT.TSS32, SELECTOR.OTHER_TASK32],
    ],
    l2: `ea ${FAR}\n9a ${FAR}\ncf\ncd 50\ncc\nnext:\n90\n${VMCALL}`,
    script: (labels) => [
      ...[launch, skip, resume, skip, set('GUEST_RFLAGS', 0x4002), store(AT.GDT + SELECTOR.OTHER_TASK32, busy())],
      ...[
        resume,
        store(AT.GDT + SELECTOR.OTHER_TASK32, available()),
        set('GUEST_RFLAGS', 0x202),
        goTo(AT.L2 + 15),
        resume,
      ],
      ...[goTo(AT.L2 + 17), resume, goTo(labels['next'])],
      ...[inject.external(0x50), inject.softwareException(3), inject.software(0x50)].flatMap((information) => [
        set('VM_ENTRY_INSTRUCTION_LEN', 1),
        set('VM_ENTRY_INTR_INFO_FIELD', information),
        resume,
      ]),
      ...[resume, finish],
    ],
    exits: [...Array.from({ length: 8 }, () => 'TASK_SWITCH' as const), 'VMCALL'],
  },
  {
    name: 'entries that fail: guest state, link pointer, MSR list; and VM-instruction errors',
    profiles: BOTH,
    memory: () => [[AT.LISTS, 0x277n, 0x0007040600070406n, 0xc0000100n, 0n]],
    l2: VMCALL,
    script: () => [
      ...[resume, set('GUEST_RFLAGS', 0), launch, set('GUEST_RFLAGS', 2), set('VMCS_LINK_POINTER', 1), launch],
      ...[set('VMCS_LINK_POINTER', 0xffff_ffff_ffff_ffffn), set('VM_ENTRY_MSR_LOAD_ADDR', AT.LISTS)],
      ...[set('VM_ENTRY_MSR_LOAD_COUNT', 2), launch, set('VM_ENTRY_MSR_LOAD_COUNT', 0)],
      ...[set('HOST_CR0', 0), launch, set('HOST_CR0', 0x80000031), set('CR3_TARGET_COUNT', 5), launch],
      ...[set('CR3_TARGET_COUNT', 0), ['vmread', ENCODING.VM_INSTRUCTION_ERROR] as Operation, launch, launch, finish],
    ],
    exits: ['INVALID_STATE', 'INVALID_STATE', 'MSR_LOAD_FAIL', 'VMCALL'],
  },
];

function busy(): bigint {
  return taskDescriptor(0x8bn);
}
function available(): bigint {
  return taskDescriptor(0x89n);
}
function taskDescriptor(type: bigint): bigint {
  return 0x67n | ((BigInt(AT.OTHER_TSS32) & 0xffffffn) << 16n) | (type << 40n);
}

function trapFlags(count: number): ExitReasonName[] {
  return Array.from({ length: count }, () => 'MONITOR_TRAP_FLAG');
}
