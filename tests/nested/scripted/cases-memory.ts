// SPDX-License-Identifier: Apache-2.0
// Table: exits by memory: EPT violations and misconfigurations of data, of page walks and of event delivery; the
// APIC-access page and the TPR shadow; and events that meet them while L1 injects them.
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import { BOTH, MODERN, VMCALL, at, finish, goTo, inject, launch, reinject, resume, set, skip, store } from './case.ts';
import type { Case } from './case.ts';
import { gate } from './image.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';

const EPT: readonly ControlKey[] = ['secondary.ENABLE_EPT'];
const APIC: readonly ControlKey[] = ['primary.USE_TPR_SHADOW', 'secondary.VIRTUALIZE_APIC_ACCESSES'];
const PAGE = 0x1000;
const [R, RW, RX, ALL] = [1n, 3n, 5n, 7n];
const WRITE_BACK = 0x30n;
const MISCONFIGURED = 0x32n; // writable, not readable

/** The EPT entry of a page of AT.PAGED. */
const page = (number: number, bits: bigint): Operation =>
  store(AT.EPT_PT + 8 * number, bits === 0n ? 0n : BigInt(AT.PAGED + PAGE * number) | WRITE_BACK | bits);
/** INVEPT, single context: descriptor at AT.OPERANDS, instruction at AT.DATA + 0xf00. */
const invept: Operation = ['call', AT.DATA + 0xf00];
const descriptor = [AT.OPERANDS, AT.EPT | 0x1e, 0] as const;
const invalidation = [descriptor, inveptCode()];

/** MOV EAX, 1; INVEPT RAX, [AT.OPERANDS]; RET. */
function inveptCode(): readonly [number, ...bigint[]] {
  const bytes = [0xb8, 1, 0, 0, 0, 0x66, 0x0f, 0x38, 0x80, 0x04, 0x25, ...little(AT.OPERANDS), 0xc3];
  const view = new DataView(new ArrayBuffer(24));
  bytes.forEach((byte, i) => view.setUint8(i, byte));
  return [AT.DATA + 0xf00, view.getBigUint64(0, true), view.getBigUint64(8, true), view.getBigUint64(16, true)];
}
function little(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}

const first = AT.PAGED;
/** L2's interrupt table in the page that the EPT may not map, with one handler. */
const table = (labels: Readonly<Record<string, number>>, ...vectors: number[]): Operation[] =>
  vectors.flatMap((vector) => {
    const [low, high] = gate(labels['handler']);
    return [store(first + 16 * vector, low), store(first + 16 * vector + 8, high)];
  });
const idt = set('GUEST_IDTR_BASE', first);
/** The page goes, the event is injected; L1 maps the page and injects again. */
const interrupted = (information: number, ...rest: Operation[]): Operation[] => [
  ...[page(0, 0n), invept, ...rest, set('VM_ENTRY_INTR_INFO_FIELD', information), resume],
  ...[page(0, ALL), reinject, resume],
];

export const MEMORY_CASES: readonly Case[] = [
  {
    name: 'EPT violations: read, write, fetch, and both pages of one access',
    profiles: BOTH,
    controls: EPT,
    memory: () => invalidation,
    l2: `a0 ${'00 10 60 00 00 00 00 00'}\n88 ${at(0, first + PAGE)}\n66 c7 ${at(0, first + 2 * PAGE)} c3 90\nff ${at(2, AT.DATA)}\n8b ${at(0, first + 4 * PAGE - 2)}\n${VMCALL}`,
    script: () => [
      ...[store(AT.DATA, first + 2 * PAGE), page(1, 0n), page(2, RW), page(3, 0n), page(4, 0n), launch],
      ...[page(1, R), invept, resume, page(1, ALL), invept, resume, page(2, ALL), invept, resume],
      ...[page(3, ALL), resume, page(4, ALL), resume, finish],
    ],
    // prettier-ignore
    exits: ['EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'VMCALL'],
  },
  {
    name: "EPT violations of L2's page walk and of the accessed flags it sets",
    profiles: BOTH,
    controls: EPT,
    memory: () => invalidation,
    l2: `8a ${at(0, first + 0x400000)}\n${VMCALL}\n88 ${at(0, first + 0x400000)}\n${VMCALL}`,
    script: () => [
      // 10 MBytes through a table in a page of AT.PAGED, which the EPT does not map, then maps for reading only.
      ...[store(AT.PD + 8 * 5, BigInt(first + PAGE) | 7n), store(first + PAGE, BigInt(AT.DATA) | 3n)],
      ...[page(1, 0n), launch, page(1, R), resume, page(1, ALL), invept, resume, skip, page(1, R), invept, resume],
      ...[page(1, ALL), invept, resume, finish],
    ],
    exits: ['EPT_VIOLATION', 'EPT_VIOLATION', 'VMCALL', 'EPT_VIOLATION', 'VMCALL'],
  },
  {
    name: 'EPT misconfigurations, of data and while an event is delivered',
    profiles: BOTH,
    controls: EPT,
    memory: () => invalidation,
    l2: `8a ${at(0, first + PAGE)}\ncd 50\n${VMCALL}\nhandler:\n${VMCALL}`,
    script: (labels) => [
      ...[...table(labels, 0x50), idt, store(AT.EPT_PT + 8, BigInt(first + PAGE) | MISCONFIGURED), launch],
      ...[
        page(1, ALL),
        store(AT.EPT_PT, BigInt(first) | MISCONFIGURED),
        invept,
        resume,
        page(0, ALL),
        reinject,
        resume,
      ],
      finish,
    ],
    exits: ['EPT_MISCONFIG', 'EPT_MISCONFIG', 'VMCALL'],
  },
  {
    name: 'deliveries that an EPT violation interrupts: of what L1 injects',
    profiles: BOTH,
    controls: EPT,
    memory: () => invalidation,
    fields: { GUEST_RFLAGS: 0x202 },
    l2: `${VMCALL}\n90 90 90 90\nhandler:\n${VMCALL}`,
    script: (labels) => [
      ...[...table(labels, 0, 2, 3, 13, 0x50), idt, launch],
      ...[inject.external(0x50), inject.nmi, inject.fault(0)].flatMap((information) => [
        goTo(labels['handler'] - 4),
        set('GUEST_INTERRUPTIBILITY_INFO', 0),
        set('GUEST_RFLAGS', 0x202),
        ...interrupted(information),
      ]),
      ...interrupted(inject.faultWithCode(13), set('VM_ENTRY_EXCEPTION_ERROR_CODE', 0x18)),
      ...interrupted(inject.software(0x50), set('VM_ENTRY_INSTRUCTION_LEN', 2)),
      ...interrupted(inject.softwareException(3), set('VM_ENTRY_INSTRUCTION_LEN', 1)),
      finish,
    ],
    exits: ['VMCALL', ...Array.from({ length: 6 }, () => ['EPT_VIOLATION', 'VMCALL'] as const).flat()],
  },
  {
    name: "deliveries that an EPT violation interrupts: L2's own",
    profiles: BOTH,
    controls: EPT,
    memory: () => invalidation,
    fields: { EXCEPTION_BITMAP: 0 },
    l2: `0f 0b\ncd 50\ncc\n8a 04 25 00 00 00 70\n${VMCALL}\nhandler:\n${VMCALL}`,
    script: (labels) => [
      ...[...table(labels, 6, 0x50, 3, 14), idt, page(0, 0n), launch],
      ...[2, 4, 5].flatMap((offset) => [
        ...[page(0, ALL), reinject, resume, page(0, 0n), invept, goTo(AT.L2 + offset), resume],
      ]),
      ...[page(0, ALL), reinject, resume, finish],
    ],
    exits: Array.from({ length: 4 }, () => ['EPT_VIOLATION', 'VMCALL'] as const).flat(),
  },
  {
    name: 'IRET that unblocks NMIs and then meets an EPT violation, or a fault',
    profiles: BOTH,
    controls: [...EPT, 'pin.NMI_EXITING', 'pin.VIRTUAL_NMIS'],
    memory: () => invalidation,
    fields: { GUEST_INTERRUPTIBILITY_INFO: 8 },
    l2: `48 cf\n${VMCALL}\nhandler:\n${VMCALL}`,
    script: (labels) => [
      // The frame lies in a page that is not there; then it is there, with a bad selector; then it is right.
      ...[set('GUEST_RSP', first + PAGE), page(1, 0n), store(first + PAGE, labels['handler'])],
      ...[store(first + PAGE + 8, 0x50), store(first + PAGE + 16, 2), launch],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 8), page(1, ALL), resume],
      ...[store(first + PAGE + 8, 8), store(first + PAGE + 24, AT.STACK2), store(first + PAGE + 32, 0x10)],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 8), resume, finish],
    ],
    exits: ['EPT_VIOLATION', 'EXCEPTION_NMI', 'VMCALL'],
  },
  {
    name: 'accessed and dirty flags in the EPT: walks count as writes',
    profiles: MODERN,
    controls: EPT,
    memory: () => invalidation,
    fields: { EPT_POINTER: AT.EPT | 0x5e },
    l2: `8a ${at(0, first + PAGE)}\n88 ${at(0, first + PAGE)}\n8a ${at(0, first + 0x400000)}\n${VMCALL}`,
    script: () => [
      ...[store(AT.PD + 8 * 5, BigInt(first + 2 * PAGE) | 7n), store(first + 2 * PAGE, BigInt(AT.DATA) | 3n)],
      ...[page(1, RX), page(2, RX), launch, page(1, ALL), resume, page(2, ALL), resume, finish],
    ],
    exits: ['EPT_VIOLATION', 'EPT_VIOLATION', 'VMCALL'],
  },
  {
    name: 'execute-only pages',
    profiles: MODERN,
    controls: EPT,
    memory: () => invalidation,
    l2: `ff ${at(2, AT.DATA)}\n8a ${at(0, first + PAGE)}\n${VMCALL}`,
    script: () => [
      ...[store(AT.DATA, first + PAGE), store(first + PAGE, 0xc3), page(1, 4n), launch, page(1, ALL), resume, finish],
    ],
    exits: ['EPT_VIOLATION', 'VMCALL'],
  },
  {
    name: 'the APIC-access page: read, write, fetch, and in event delivery; TPR is shadowed',
    profiles: BOTH,
    controls: APIC,
    fields: { EXCEPTION_BITMAP: 0 },
    l2: `8b ${at(0, AT.APIC_ACCESS + 0x20)}\n89 ${at(0, AT.APIC_ACCESS + 0xb0)}\n48 8b ${at(0, AT.APIC_ACCESS + 0x80)}\nff ${at(2, AT.DATA)}\nnext:\n0f 0b\n${VMCALL}`,
    script: (labels) => [
      ...[store(AT.DATA, AT.APIC_ACCESS + 0x300), launch],
      ...[goTo(AT.L2 + 7), resume, goTo(AT.L2 + 14), resume, goTo(AT.L2 + 22), resume],
      ...[set('GUEST_IDTR_BASE', AT.APIC_ACCESS), goTo(labels['next']), resume],
      ...[set('GUEST_IDTR_BASE', AT.IDT2), goTo(labels['next'] + 2), resume, finish],
    ],
    exits: ['APIC_ACCESS', 'APIC_ACCESS', 'APIC_ACCESS', 'APIC_ACCESS', 'APIC_ACCESS', 'VMCALL'],
  },
  {
    name: 'the virtual-APIC page is no memory: what CR8 and TPR are written to is lost, and reads find ones',
    profiles: BOTH,
    controls: APIC,
    // L1's memory ends far below.
    fields: { TPR_THRESHOLD: 4, VIRTUAL_APIC_PAGE_ADDR: 0x4000_0000, EXCEPTION_BITMAP: 1 << 13 },
    l2: [
      ...[`b8 01 00 00 00 44 0f 22 c0`, `44 0f 20 c3 48 89 ${at(3, AT.DATA)}`],
      ...[
        `c7 ${at(0, AT.APIC_ACCESS + 0x80)} 30 00 00 00`,
        `8b ${at(0, AT.APIC_ACCESS + 0x80)} 89 ${at(0, AT.DATA + 8)}`,
      ],
      ...['b8 10 00 00 00', 'fault:\n44 0f 22 c0', `next:\n8b ${at(0, AT.APIC_ACCESS + 0x84)}\nend:\n${VMCALL}`],
    ].join('\n'),
    script: ({ next, end }) => [launch, goTo(next), resume, goTo(end), resume, finish],
    exits: ['EXCEPTION_NMI', 'APIC_ACCESS', 'VMCALL'],
  },
  {
    name: 'TPR below the threshold: by MOV to CR8, by a store, and at the entry',
    profiles: BOTH,
    controls: APIC,
    fields: { TPR_THRESHOLD: 4 },
    memory: () => [[AT.VIRTUAL_APIC + 0x80, 0x90]],
    l2: `b8 01 00 00 00\n44 0f 22 c0\n90\n${VMCALL}\nc7 ${at(0, AT.APIC_ACCESS + 0x80)} 30 00 00 00\n90\n${VMCALL}`,
    script: () => [
      ...[launch, resume, resume, set('TPR_THRESHOLD', 0), resume, skip],
      ...[
        store(AT.VIRTUAL_APIC + 0x80, 0x90),
        set('TPR_THRESHOLD', 4),
        resume,
        set('TPR_THRESHOLD', 3),
        resume,
        finish,
      ],
    ],
    exits: [
      'TPR_BELOW_THRESHOLD',
      'TPR_BELOW_THRESHOLD',
      'TPR_BELOW_THRESHOLD',
      'VMCALL',
      'TPR_BELOW_THRESHOLD',
      'VMCALL',
    ],
  },
];
