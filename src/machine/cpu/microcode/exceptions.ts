// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';

/** Vectors by the SDM's mnemonics. See: SDM Table 6-1 Exceptions and Interrupts. */
// prettier-ignore
export const VECTOR = {
  DE: 0, DB: 1, NMI: 2, BP: 3, OF: 4, BR: 5, UD: 6, NM: 7, DF: 8, TS: 10, NP: 11, SS: 12, GP: 13, PF: 14,
  MF: 16, AC: 17, MC: 18, XM: 19, VE: 20, CP: 21,
} as const;

/** In place of a vector, when an access or a task switch recorded a VM exit and not a fault. */
export const VM_EXIT_RECORDED = -1;

/**
 * In place of a vector, when an instruction cannot go on and reports that outside of the processor (FERR#): it waits,
 * not begun, for an interrupt.
 */
export const FROZEN = -2;

/** Error-code bits. See: SDM 6.13 Error Code. */
export const ERROR_CODE = { external: 1, idt: 2 } as const;

/** Records a fault and gives false, for checks that answer whether to go on. */
export function refuse(cpu: Processor, vector: number, errorCode: number): false {
  cpu.fault(vector, errorCode);
  return false;
}

/** How an event came about; the VMCS knows the same seven. See: SDM 25.8.3 VM-Entry Controls for Event Injection. */
export type EventKind = 'fault' | 'trap' | 'external' | 'nmi' | 'software' | 'softwareException' | 'privilegedSoftware';

/** Something to be delivered through the IDT (or the interrupt vector table). */
export interface Event {
  readonly vector: number;
  /** INT n is `software`, INT3 and INTO `softwareException`, INT1 `privilegedSoftware`. */
  readonly kind: EventKind;
  /** -1: none is pushed. */
  readonly errorCode: number;
  /** Bytes of the instruction, for the software kinds. */
  readonly instructionLength?: number;
  /** For #DB: the DR6 bits that delivery sets. Absent (an injected event): debug registers stay as they are. */
  readonly debugStatus?: number;
  /** Injected by a VM entry: RFLAGS.RF is pushed as it is. */
  readonly injected?: boolean;
  /** For #PF: the linear address that delivery puts into CR2. Absent (an injected event): CR2 stays as it is. */
  readonly linear?: { readonly low: number; readonly high: number };
}

/** Whether the event is one that the program asked for with an instruction, so that the gate's DPL counts. */
export function isSoftware(event: Event): boolean {
  return event.kind === 'software' || event.kind === 'softwareException';
}

const CONTRIBUTORY: ReadonlySet<number> = new Set([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.CP]);
const PAGE_FAULTS: ReadonlySet<number> = new Set([VECTOR.PF, VECTOR.VE]);

export type ExceptionClass = 'benign' | 'contributory' | 'page fault' | 'double fault';

/** See: SDM Table 6-4 Interrupt and Exception Classes. */
function exceptionClass(event: Event): ExceptionClass {
  if (event.kind !== 'fault' && event.kind !== 'trap') return 'benign';
  if (event.vector === VECTOR.DF) return 'double fault';
  if (PAGE_FAULTS.has(event.vector)) return 'page fault';
  return CONTRIBUTORY.has(event.vector) ? 'contributory' : 'benign';
}

/** What a fault during the delivery of `first` becomes. See: SDM Table 6-5 Conditions for Generating a Double Fault. */
export function combine(first: Event, second: Event): 'serial' | 'double' | 'shutdown' {
  const before = exceptionClass(first);
  const now = exceptionClass(second);
  if (before === 'benign' || now === 'benign') return 'serial';
  if (before === 'double fault') return 'shutdown';
  return before === 'contributory' && now === 'page fault' ? 'serial' : 'double';
}
