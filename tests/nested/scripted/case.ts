// SPDX-License-Identifier: Apache-2.0
// A case: one program, on the profiles that can run it, and the exits that it must make. The words it is written in.
import type { ExitReasonName } from '../../../src/arch/vmx/exit-reasons.ts';
import { ENCODING } from '../../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../../src/arch/vmx/fields.ts';
import type { ProfileName } from '../../../src/arch/vmx/profiles.ts';
import { dword } from '../../machine/assembler.ts';
import type { Operation, Program } from './image.ts';

export const BOTH: readonly ProfileName[] = ['modern-1', 'paper-1'];
export const MODERN: readonly ProfileName[] = ['modern-1'];

export interface Case extends Partial<Omit<Program, 'profile' | 'l2'>> {
  readonly name: string;
  readonly profiles: readonly ProfileName[];
  readonly l2: string;
  /** In order. Without a script, L1 skips each instruction that exits, and the last ends it. */
  readonly exits: readonly ExitReasonName[];
}

/** The program of a case on one of its profiles. */
export function programOf(
  { mode = 'long', processors = 1, signals = [], controls = [], fields = {}, memory = () => [], ...rest }: Case,
  profile: ProfileName,
): Program {
  const script = rest.script ?? (() => [launch, ...rest.exits.slice(1).flatMap(() => [skip, resume]), finish]);
  return { profile, mode, processors, signals, controls, fields, l2: rest.l2, script, memory };
}

export const launch: Operation = ['launch'];
export const resume: Operation = ['resume'];
export const skip: Operation = ['skip'];
export const reinject: Operation = ['reinject'];
export const finish: Operation = ['finish'];

export const set = (field: FieldName, value: number | bigint): Operation => ['vmwrite', ENCODING[field], value];
export const goTo = (address: number): Operation => set('GUEST_RIP', address);
export const msr = (index: number, value: number | bigint): Operation => ['wrmsr', index, value];
export const store = (address: number, value: number | bigint): Operation => ['store', address, value];

/** An absolute memory operand without a base, of an instruction with this ModRM.reg: ModRM, SIB and address. */
export function at(reg: number, address: number): string {
  return `${(4 | (reg << 3)).toString(16).padStart(2, '0')} 25 ${dword(address)}`;
}
/** MOV EAX, value. */
export const eax = (value: number): string => `b8 ${dword(value)}`;
export const ecx = (value: number): string => `b9 ${dword(value)}`;
export const edx = (value: number): string => `ba ${dword(value)}`;
export const VMCALL = '0f 01 c1';

/** VM-entry interruption information. */
export const inject = {
  external: (vector: number): number => (0x80000000 | vector) >>> 0,
  nmi: 0x80000202,
  fault: (vector: number): number => (0x80000300 | vector) >>> 0,
  faultWithCode: (vector: number): number => (0x80000b00 | vector) >>> 0,
  software: (vector: number): number => (0x80000400 | vector) >>> 0,
  softwareException: (vector: number): number => (0x80000600 | vector) >>> 0,
  pendingTrap: 0x80000700,
} as const;

export const IA32_APIC_BASE = 0x1b;
export const X2APIC = { TPR: 0x808, EOI: 0x80b, SPURIOUS: 0x80f, ICR: 0x830, TIMER: 0x832, SELF_IPI: 0x83f } as const;
export const IA32_TSC_DEADLINE = 0x6e0;
/** To the processor itself, by its identifier: a shorthand would not be valid for these. */
export const ICR = { NMI: 0x4400, INIT: 0x4500, STARTUP: 0x4600 } as const;

/** L1 turns its local APIC to x2APIC mode and on. */
// prettier-ignore
export const x2apic: readonly Operation[] = [msr(IA32_APIC_BASE, 0xfee00d00), msr(X2APIC.SPURIOUS, 0x1ff), msr(X2APIC.TPR, 0)];
/** L2: WRMSR of the low half; the high half is 0. */
export const wrmsr = (index: number, value: number): string => `${ecx(index)} ${eax(value)} 31 d2 0f 30`;
