// SPDX-License-Identifier: Apache-2.0
import { hex } from '../base/hex.ts';
import { STATE } from '../machine/cpu/state.ts';
import type { ProcessorUnit } from '../machine/processor-unit.ts';
import type { AnyPc } from './make-pc.ts';

/** Where a processor is between two instructions, and in whose code. */
export interface Position {
  readonly processor: number;
  /** 1: the guest of L0 or, without L0, what owns the machine; 2: its guest. */
  readonly level: number;
  /** It executes instructions: it neither halts nor waits for a start-up IPI. */
  readonly active: boolean;
  /** Linear address of the next instruction, as a signed Number, with the base of CS. */
  readonly address: number;
  /** RFLAGS.IF. */
  readonly interruptsOpen: boolean;
}

const RFLAGS_IF = 0x200;

/** All processors. To be asked while the machine does not run. */
export function positionsOf(pc: AnyPc): Position[] {
  return pc.machine.processors.map((unit, processor) => {
    const { cpu } = unit;
    return {
      processor,
      level: levelOf(pc, unit, processor),
      active: cpu.words[STATE.activity >> 2] === 0,
      address: cpu.rip + cpu.getSigned(STATE.codeBase),
      interruptsOpen: (cpu.rflags & RFLAGS_IF) !== 0,
    };
  });
}

function levelOf(pc: AnyPc, { vmx }: ProcessorUnit, processor: number): number {
  if ('l0' in pc) return pc.l0.vcpus[processor]!.state.level;
  return vmx?.nonRoot ? 2 : 1;
}

/** One line for each processor that executes instructions, for people. */
export function placesOf(pc: AnyPc): string[] {
  return positionsOf(pc).map(({ processor, level, active, address, interruptsOpen }) => {
    const state = active ? `at ${hex(address)}, interrupts ${interruptsOpen ? 'on' : 'off'}` : 'halted';
    return `processor ${processor}: in L${level}, ${state}`;
  });
}
