// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { ES, RDI, RSI, STATE } from '../state.ts';
import { alignmentFault, segmentLinear } from './effective-address.ts';

/** What an iteration of a string instruction needs to know of it. */
export interface StringStep {
  readonly cpu: Processor;
  readonly bytes: number;
  readonly addressSize: number;
  /** Segment of the source. */
  readonly segment: number;
  /** +bytes or -bytes. */
  readonly stride: number;
}

export function stepOf(cpu: Processor, instruction: Instruction): StringStep {
  let bytes = 1;
  for (let i = 0; i < instruction.operandCount; i++) {
    const { kind, size } = instruction.operands[i];
    if (kind === OperandKind.STRING_SOURCE || kind === OperandKind.STRING_DESTINATION) bytes = size / 8;
  }
  const down = (cpu.words[STATE.flagsOther >> 2] & RFLAGS.DF) !== 0;
  return {
    cpu,
    bytes,
    addressSize: instruction.addressSize,
    segment: instruction.memory.segment,
    stride: down ? -bytes : bytes,
  };
}

export function indexValue(cpu: Processor, register: number, addressSize: number): number {
  if (addressSize === 64) return cpu.getSigned(register * 8);
  return addressSize === 32 ? cpu.reg32(register) : cpu.reg16(register);
}

/** NaN with the fault recorded where the segment or an alignment check forbids the access. */
function address(step: StringStep, segment: number, register: number, write: boolean): LinearAddress {
  const { cpu, addressSize, bytes } = step;
  const linear = segmentLinear(cpu, segment, indexValue(cpu, register, addressSize), bytes, write);
  return alignmentFault(cpu, linear, bytes) ? NaN : linear;
}

export const source = (step: StringStep): LinearAddress => address(step, step.segment, RSI, false);
export const destination = (step: StringStep, write: boolean): LinearAddress => address(step, ES, RDI, write);
