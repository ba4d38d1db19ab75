// SPDX-License-Identifier: Apache-2.0
import type { ProcessorSignals, TimeStampCounter } from '../hardware/processor.ts';
import type { TimerService } from '../hardware/time.ts';
import type { ApicBus } from './lapic-bus.ts';
import { APIC_REGISTERS } from './lapic-registers.ts';
import { type ApicTimerState, resetTimer } from './lapic-timer.ts';

export type LocalApicState = {
  /** IA32_APIC_BASE */
  baseLow: number;
  baseHigh: number;
  /** By register index; those that are computed (ID, PPR, current count) stay 0. */
  registers: Uint32Array;
  /** Errors found since the error status register was last written. */
  errors: number;
  /** Levels at LINT0 and LINT1. */
  inputs: Uint8Array;
  /** A message of mode ExtINT waits for its acknowledge (flag). */
  externalMessage: number;
  timer: ApicTimerState;
};

export interface LocalApicDescription {
  /** The x2APIC ID; its low 8 bits are the xAPIC ID. */
  readonly id: number;
  readonly bootstrap: boolean;
  /** Features as CPUID.01H:ECX enumerates them. */
  readonly x2apic: boolean;
  readonly tscDeadline: boolean;
  readonly physicalAddressBits: number;
  /** Of its timer, unique in a machine; default `local-apic-ID`. */
  readonly name?: string;
}

export interface LocalApicServices {
  readonly signals: ProcessorSignals;
  readonly time: TimerService;
  readonly tsc: TimeStampCounter;
  readonly bus: ApicBus;
  /** Gives the vector of an ExtINT: the 8259A pair. */
  readonly externalInterrupts: { acknowledge(): number };
}

export function resetLocalApic(): LocalApicState {
  return {
    baseLow: 0,
    baseHigh: 0,
    registers: new Uint32Array(APIC_REGISTERS),
    errors: 0,
    inputs: new Uint8Array(2),
    externalMessage: 0,
    timer: resetTimer(),
  };
}
