// SPDX-License-Identifier: Apache-2.0
// From a decoded instruction to the qualification and the instruction information of its VM exit.
// See: SDM 28.2.5 Information for VM Exits Due to Instruction Execution

import type { MemoryOperand, Operand } from '../../arch/vmx/instruction-information.ts';
import { BASE_RIP, OperandKind } from '../../decode/instruction.ts';
import type { Instruction, Operand as DecodedOperand } from '../../decode/instruction.ts';
import type { Processor } from '../cpu/processor.ts';

const SCALES = [1, 2, 4, 8] as const;

/** The memory operand; a RIP-relative one has no base register there. */
export function memoryOperand(instruction: Instruction): MemoryOperand {
  const { base, index, scale, segment } = instruction.memory;
  return {
    addressSize: instruction.addressSize as 16 | 32 | 64,
    segment,
    ...(base >= 0 && base !== BASE_RIP ? { base } : {}),
    ...(index >= 0 ? { index, scale: SCALES[scale] } : {}),
  };
}

export function operandOf(instruction: Instruction, operand: DecodedOperand): Operand {
  return operand.kind === OperandKind.MEMORY ? { memory: memoryOperand(instruction) } : { register: operand.register };
}

/** The displacement as a signed Number, with RIP of the next instruction added where it is relative to that. */
export function displacement(cpu: Processor, instruction: Instruction): number {
  const { base, displacementLow, displacementHigh } = instruction.memory;
  const value = displacementHigh * 0x100000000 + (displacementLow >>> 0);
  return base === BASE_RIP ? value + cpu.rip : value;
}

/** Whether one of the operands lies in memory. */
export function hasMemoryOperand(instruction: Instruction): boolean {
  return instruction.operands.some((operand) => operand.kind === OperandKind.MEMORY);
}
