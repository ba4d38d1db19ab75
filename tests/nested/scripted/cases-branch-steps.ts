// SPDX-License-Identifier: Apache-2.0
// Table: L2 goes on with L1's IA32_DEBUGCTL, and VMCS12 has another BTF, by which VM entry judges the pending step.
import { BOTH, VMCALL, X2APIC, finish, launch, msr, set, x2apic } from './case.ts';
import type { Case } from './case.ts';
import { gate } from './image.ts';
import { AT } from './layout.ts';

const IA32_DEBUGCTL = 0x1d9;
const BTF = 2;
const [TF, IF] = [0x100, 0x200];
const PENDING_BS = 0x4000;
const [HLT, BY_STI, BY_MOV_SS] = [1, 1, 2];
const NOPS = '90 90 90 90';
const IRET = '48 cf';

const handles = (vector: number) => (labels: Readonly<Record<string, number>>) => [
  [AT.IDT2 + 16 * vector, ...gate(labels['handler'])] as const,
];
/** VMCS12 has BTF, L1 has not: no step is pending. */
const withoutStep = { GUEST_RFLAGS: TF | IF | 2, GUEST_IA32_DEBUGCTL: BTF };
/** L1 has BTF, VMCS12 has not: a step is pending. */
const withStep = { GUEST_RFLAGS: TF | IF | 2, GUEST_PENDING_DBG_EXCEPTIONS: PENDING_BS };

export const BRANCH_STEP_CASES: readonly Case[] = [
  {
    name: 'HLT without a pending step, until INIT comes',
    profiles: BOTH,
    controls: ['exit.SAVE_DEBUG_CONTROLS'],
    signals: [[50_000, 'INIT']],
    fields: { ...withoutStep, GUEST_ACTIVITY_STATE: HLT },
    l2: VMCALL,
    script: () => [launch, finish],
    exits: ['INIT_SIGNAL'],
  },
  {
    name: 'HLT without a pending step, until an interrupt of its own comes; then L2 steps',
    profiles: BOTH,
    controls: ['exit.SAVE_DEBUG_CONTROLS'],
    fields: { ...withoutStep, GUEST_ACTIVITY_STATE: HLT },
    l2: `${NOPS}\n${VMCALL}\nhandler:\n${IRET}`,
    memory: handles(0x41),
    script: () => [...x2apic, msr(X2APIC.SELF_IPI, 0x41), launch, finish],
    exits: ['EXCEPTION_NMI'],
  },
  ...[
    { where: 'HLT', fields: { GUEST_ACTIVITY_STATE: HLT } },
    { where: 'the shadow of STI', fields: { GUEST_INTERRUPTIBILITY_INFO: BY_STI } },
    { where: 'the shadow of MOV SS', fields: { GUEST_INTERRUPTIBILITY_INFO: BY_MOV_SS } },
  ].flatMap(({ where, fields }): Case[] => [
    {
      name: `a pending step in ${where} exits`,
      profiles: BOTH,
      controls: ['exit.SAVE_DEBUG_CONTROLS'],
      fields: { ...withStep, ...fields },
      l2: `${NOPS}\n${VMCALL}`,
      script: () => [msr(IA32_DEBUGCTL, BTF), launch, finish],
      exits: ['EXCEPTION_NMI'],
    },
    {
      name: `a pending step in ${where} is delivered, and clears BTF`,
      profiles: BOTH,
      controls: ['exit.SAVE_DEBUG_CONTROLS'],
      fields: { ...withStep, ...fields, EXCEPTION_BITMAP: 0 },
      l2: `${NOPS}\n${VMCALL}\nhandler:\n${VMCALL}`,
      memory: handles(1),
      script: () => [set('GUEST_IDTR_LIMIT', 0xfff), msr(IA32_DEBUGCTL, BTF), launch, finish],
      exits: ['VMCALL'],
    },
  ]),
];
