// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction, Operand } from '../../../decode/instruction.ts';
import type { Processor } from '../processor.ts';
import { operandLinear } from './effective-address.ts';
import { loadSized } from './implicit-access.ts';

/** A general register of 16, 32 or 64 bits: unsigned, 64 bits as a signed Number. */
export function readGeneral(cpu: Processor, register: number, bits: number): number {
  if (bits === 64) return cpu.getSigned(register * 8);
  return bits === 32 ? cpu.reg32(register) : cpu.reg16(register);
}

/** Writes 16, 32 (bits 63:32 become zero) or 64 bits of a general register. */
export function writeGeneral(cpu: Processor, register: number, bits: number, low: number, high = 0): void {
  if (bits === 16) return cpu.setReg16(register, low);
  cpu.words[register * 2] = low;
  cpu.words[register * 2 + 1] = bits === 64 ? high : 0;
}

/** A register or memory operand of 16, 32 or 64 bits, as `readGeneral` gives it. Look at `cpu.faulted` afterwards. */
export function readOperand(cpu: Processor, instruction: Instruction, operand: Operand): number {
  if (operand.kind === OperandKind.GENERAL) return readGeneral(cpu, operand.register, operand.size);
  const linear = operandLinear(cpu, instruction, operand.size >> 3, false);
  return cpu.faulted ? 0 : loadSized(cpu, linear, operand.size >> 3, cpu.dataClass);
}

/** Writes a selector or the like (below 2^32): zero-extended to a register, or to memory. False when it faulted. */
export function writeOperand(cpu: Processor, instruction: Instruction, operand: Operand, value: number): boolean {
  if (operand.kind === OperandKind.GENERAL) {
    writeGeneral(cpu, operand.register, operand.size, value);
    return true;
  }
  const linear = operandLinear(cpu, instruction, operand.size >> 3, true);
  if (cpu.faulted) return false;
  if (operand.size === 16) cpu.store16(linear, value);
  else cpu.store32(linear, value);
  return !cpu.faulted;
}
