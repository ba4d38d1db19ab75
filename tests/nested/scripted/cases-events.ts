// SPDX-License-Identifier: Apache-2.0
// Table: events from outside and their windows: interrupts, NMIs, INIT, start-up IPIs, the preemption timer; and the
// activity states that L2 can be in when they come. L2 reaches L1's local APIC by its MSRs, which L1 lets pass.
import { BOTH, ICR, MODERN, VMCALL, X2APIC, at, ecx, finish, inject, launch, msr, resume, set, skip, wrmsr, x2apic } from './case.ts'; // prettier-ignore
import type { Case } from './case.ts';
import { controlsField, gate } from './image.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import type { ProfileName } from '../../../src/arch/vmx/profiles.ts';

const PASS: readonly ControlKey[] = ['primary.USE_MSR_BITMAPS', 'primary.HLT_EXITING'];
const INTERRUPTS: readonly ControlKey[] = [...PASS, 'pin.EXTERNAL_INTERRUPT_EXITING', 'pin.NMI_EXITING', 'exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT']; // prettier-ignore
const VIRTUAL_NMIS: readonly ControlKey[] = [...INTERRUPTS, 'pin.VIRTUAL_NMIS'];
const [HLT, SHUTDOWN] = [1, 2];
const [BY_STI, BY_MOV_SS, BY_NMI] = [1, 2, 8];
const NOPS = '90 90 90 90';
const IF = 0x202;
const eoi = msr(X2APIC.EOI, 0);
const self = (vector: number): string => wrmsr(X2APIC.SELF_IPI, vector);
const SPIN = `${ecx(2000)} e2 fe`;
/** L1: an interrupt of its timer, so many ticks of the bus clock from now, once. */
const timer = (count: number): readonly Operation[] => [msr(X2APIC.TIMER, 0x41), msr(0x83e, 0xb), msr(0x838, count)];
/** L2's handler at a vector. */
const handles = (vector: number, label: string) => (labels: Readonly<Record<string, number>>) => [
  [AT.IDT2 + 16 * vector, ...gate(labels[label])] as const,
];
const primary = (profile: ProfileName, ...keys: ControlKey[]): Operation =>
  set('CPU_BASED_VM_EXEC_CONTROL', controlsField(profile, 'primary', keys));

export const EVENT_CASES: readonly Case[] = [
  {
    name: 'interrupts, acknowledged',
    profiles: BOTH,
    controls: INTERRUPTS,
    l2: `${self(0x41)}\n${NOPS}\nfb\n${self(0x42)}\n${NOPS} fa\n${SPIN}\n${VMCALL}`,
    script: () => [...x2apic, launch, eoi, resume, eoi, ...timer(100), resume, eoi, resume, finish],
    exits: ['EXTERNAL_INTERRUPT', 'EXTERNAL_INTERRUPT', 'EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: 'interrupts, left in the local APIC: every entry exits at once',
    profiles: BOTH,
    controls: [...PASS, 'pin.EXTERNAL_INTERRUPT_EXITING'],
    l2: `${self(0x41)}\n${NOPS}\n${VMCALL}`,
    // With CR8 at 4 the interrupt of class 4 waits.
    script: () => [...x2apic, launch, resume, msr(X2APIC.TPR, 0x40), resume, finish],
    exits: ['EXTERNAL_INTERRUPT', 'EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: "interrupts that are L2's, through its IDT",
    profiles: BOTH,
    controls: PASS,
    l2: `fb\n${self(0x41)}\n${NOPS}\nfa\n${self(0x42)}\n${NOPS}\nfb 90 90\n${VMCALL}\nhandler:\n${wrmsr(X2APIC.EOI, 0)}\n0f a2\n48 cf`,
    memory: (labels) => [...handles(0x41, 'handler')(labels), ...handles(0x42, 'handler')(labels)],
    script: () => [...x2apic, launch, skip, resume, skip, resume, finish],
    exits: ['CPUID', 'CPUID', 'VMCALL'],
  },
  {
    name: 'interrupts under a shadow of STI and of MOV SS',
    profiles: BOTH,
    controls: INTERRUPTS,
    l2: `66 8c d3\n${self(0x41)}\n${NOPS}\n66 8e d3 90 90\n${VMCALL}`,
    script: () => [
      ...[...x2apic, set('GUEST_INTERRUPTIBILITY_INFO', BY_MOV_SS), launch, eoi],
      ...[msr(X2APIC.SELF_IPI, 0x43), set('GUEST_INTERRUPTIBILITY_INFO', BY_STI), set('GUEST_RFLAGS', IF), resume, eoi],
      ...[msr(X2APIC.SELF_IPI, 0x44), set('GUEST_INTERRUPTIBILITY_INFO', BY_MOV_SS), resume, eoi, resume, finish],
    ],
    exits: ['EXTERNAL_INTERRUPT', 'EXTERNAL_INTERRUPT', 'EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: 'an interrupt that waits while L1 injects: the injection comes first',
    profiles: BOTH,
    controls: INTERRUPTS,
    l2: `${VMCALL}\nhandler:\n${NOPS}\n${VMCALL}`,
    memory: handles(0x50, 'handler'),
    script: () => [
      ...[...x2apic, msr(X2APIC.SELF_IPI, 0x41), set('GUEST_RFLAGS', IF)],
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.external(0x50)), launch, eoi, resume, finish],
    ],
    exits: ['EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: 'INIT: sent by L2, pending at the entry, in HLT and shutdown, and before an injection is lost',
    profiles: BOTH,
    controls: INTERRUPTS,
    l2: `${wrmsr(X2APIC.ICR, ICR.INIT)}\n${NOPS}\n${VMCALL}\nhandler:\n${VMCALL}`,
    memory: handles(0x50, 'handler'),
    script: () => [
      ...[...x2apic, launch, msr(X2APIC.ICR, ICR.INIT), resume],
      ...[HLT, SHUTDOWN].flatMap((state) => [msr(X2APIC.ICR, ICR.INIT), set('GUEST_ACTIVITY_STATE', state), resume]),
      ...[set('GUEST_ACTIVITY_STATE', 0), msr(X2APIC.ICR, ICR.INIT), set('GUEST_RFLAGS', IF)],
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.external(0x50)), resume, resume, finish],
    ],
    exits: ['INIT_SIGNAL', 'INIT_SIGNAL', 'INIT_SIGNAL', 'INIT_SIGNAL', 'INIT_SIGNAL', 'VMCALL'],
  },
  {
    name: 'NMIs that exit, and that wait because L1 has one',
    profiles: BOTH,
    controls: INTERRUPTS,
    l2: `${wrmsr(X2APIC.ICR, ICR.NMI)}\n${NOPS}\n${VMCALL}\n${NOPS}\n${VMCALL}`,
    script: () => [
      // Blocked in L1 since the exit, and for L2 as long as L1 leaves the bit set.
      ...[...x2apic, launch, msr(X2APIC.ICR, ICR.NMI), resume],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', BY_NMI), msr(X2APIC.ICR, ICR.NMI), resume, skip],
      ...[set('GUEST_INTERRUPTIBILITY_INFO', 0), resume, resume, finish],
    ],
    exits: ['EXCEPTION_NMI', 'EXCEPTION_NMI', 'VMCALL', 'EXCEPTION_NMI', 'VMCALL'],
  },
  {
    name: 'NMIs in HLT and in shutdown, with virtual NMIs',
    profiles: BOTH,
    controls: VIRTUAL_NMIS,
    l2: `${wrmsr(X2APIC.ICR, ICR.NMI)}\n${NOPS}\n${VMCALL}`,
    script: () => [
      ...[...x2apic, launch, msr(X2APIC.ICR, ICR.NMI), set('GUEST_ACTIVITY_STATE', HLT), resume],
      ...[msr(X2APIC.ICR, ICR.NMI), set('GUEST_ACTIVITY_STATE', SHUTDOWN), resume],
      ...[set('GUEST_ACTIVITY_STATE', 0), set('GUEST_INTERRUPTIBILITY_INFO', BY_NMI), msr(X2APIC.ICR, ICR.NMI), resume],
      ...[resume, finish],
    ],
    exits: ['EXCEPTION_NMI', 'EXCEPTION_NMI', 'EXCEPTION_NMI', 'EXCEPTION_NMI', 'VMCALL'],
  },
  {
    name: "NMIs that are L2's: the second waits for IRET",
    profiles: BOTH,
    controls: PASS,
    l2: `${wrmsr(X2APIC.ICR, ICR.NMI)}\n${NOPS}\n${VMCALL}\nhandler:\nff ${at(0, AT.DATA)}\n0f a2\n83 ${at(7, AT.DATA)} 01\n75 ~done\n${wrmsr(X2APIC.ICR, ICR.NMI)}\n0f a2\ndone:\n48 cf`,
    memory: handles(2, 'handler'),
    script: () => [...x2apic, launch, skip, resume, skip, resume, skip, resume, finish],
    exits: ['CPUID', 'CPUID', 'CPUID', 'VMCALL'],
  },
  {
    name: 'windows: for interrupts, and for virtual NMIs, which IRET opens',
    profiles: ['modern-1'],
    ...windows('modern-1'),
  },
  {
    name: 'windows: for interrupts, and for virtual NMIs, which IRET opens',
    profiles: ['paper-1'],
    ...windows('paper-1'),
  },
  {
    name: 'HLT of L2: an interrupt ends it, also one that L2 takes itself; an injected one does at once',
    profiles: BOTH,
    controls: [...INTERRUPTS.filter((key) => key !== 'primary.HLT_EXITING')],
    l2: `f4\n${VMCALL}\nfb f4\n${VMCALL}\nhandler:\n${VMCALL}`,
    memory: handles(0x50, 'handler'),
    script: () => [
      ...[...x2apic, ...timer(200), launch, eoi, set('GUEST_ACTIVITY_STATE', 0), resume, skip],
      ...[...timer(200), resume, eoi, set('VM_ENTRY_INTR_INFO_FIELD', inject.external(0x50)), resume, finish],
    ],
    exits: ['EXTERNAL_INTERRUPT', 'VMCALL', 'EXTERNAL_INTERRUPT', 'VMCALL'],
  },
  {
    name: 'the preemption timer: at once, under way, in HLT, and after what goes on in L0',
    profiles: MODERN,
    // prettier-ignore
    controls: ['primary.USE_MSR_BITMAPS', 'pin.ACTIVATE_VMX_PREEMPTION_TIMER', 'exit.SAVE_VMX_PREEMPTION_TIMER_VALUE', 'pin.EXTERNAL_INTERRUPT_EXITING'],
    l2: `${SPIN}\n${VMCALL}\nf4\n${VMCALL}\n${SPIN.replace('e2 fe', 'e4 80 e2 fc')}\n${VMCALL}`,
    script: () => [
      ...[set('VMX_PREEMPTION_TIMER_VALUE', 0), launch, set('VMX_PREEMPTION_TIMER_VALUE', 7), resume],
      ...[set('VMX_PREEMPTION_TIMER_VALUE', 1000), resume, skip, resume],
      ...[set('GUEST_ACTIVITY_STATE', 0), set('VMX_PREEMPTION_TIMER_VALUE', 1000), resume, skip],
      ...[set('VMX_PREEMPTION_TIMER_VALUE', 20), resume, set('VMX_PREEMPTION_TIMER_VALUE', 1000), resume, finish],
    ],
    // prettier-ignore
    exits: ['PREEMPTION_TIMER', 'PREEMPTION_TIMER', 'VMCALL', 'PREEMPTION_TIMER', 'VMCALL', 'PREEMPTION_TIMER', 'VMCALL'],
  },
  {
    name: 'PAUSE in a loop, at CPL 0',
    profiles: MODERN,
    controls: ['secondary.PAUSE_LOOP_EXITING'],
    fields: { PLE_GAP: 40, PLE_WINDOW: 400 },
    l2: `${ecx(300)}\nloop:\nf3 90\ne2 ~loop\n${VMCALL}`,
    script: () => [launch, skip, resume, finish],
    exits: ['PAUSE_INSTRUCTION', 'VMCALL'],
  },
];

/** L2 has its interrupts off, and an NMI of L1's injection under way. */
function windows(profile: ProfileName): Pick<Case, 'controls' | 'l2' | 'memory' | 'script' | 'exits'> {
  return {
    controls: VIRTUAL_NMIS,
    l2: `${VMCALL}\nfb 90 90\n${VMCALL}\nfa\n${VMCALL}\n${NOPS}\n${VMCALL}\nhandler:\n0f a2\n90\n48 cf`,
    memory: handles(2, 'handler'),
    script: () => [
      ...[launch, skip, primary(profile, 'primary.INTERRUPT_WINDOW_EXITING'), resume],
      ...[primary(profile), resume, skip, resume, skip],
      ...[set('VM_ENTRY_INTR_INFO_FIELD', inject.nmi), resume, skip],
      ...[primary(profile, 'primary.NMI_WINDOW_EXITING'), resume, primary(profile), resume, finish],
    ],
    exits: ['VMCALL', 'INTERRUPT_WINDOW', 'VMCALL', 'VMCALL', 'CPUID', 'NMI_WINDOW', 'VMCALL'],
  };
}
