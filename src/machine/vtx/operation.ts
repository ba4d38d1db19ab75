// SPDX-License-Identifier: Apache-2.0
// How every VMX instruction begins: whether it exists, whether it exits, whether it is permitted.

import { encodeMemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { Instruction } from '../../decode/instruction.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import type { Processor } from '../cpu/processor.ts';
import { displacement, memoryOperand } from './instruction-operand.ts';
import { vmxUnitOf } from './vmx-unit.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** In compatibility mode the VMX instructions do not exist; the translator sees to real-address and virtual-8086 mode. */
export function inCompatibilityMode(cpu: Processor): boolean {
  return cpu.longMode && !cpu.code64;
}

/** The unit, if the processor is in VMX operation; else #UD is recorded. */
export function unitInOperation(cpu: Processor): VmxUnit | undefined {
  const unit = vmxUnitOf(cpu);
  if (unit !== undefined && unit.state.vmxOperation && !inCompatibilityMode(cpu)) return unit;
  cpu.undefinedOpcode();
  return undefined;
}

/** In non-root operation the exit, in root operation above CPL 0 #GP(0); -1: go on. */
export function rootOnly(unit: VmxUnit, instruction: Instruction, reason: number): number {
  const { cpu } = unit;
  if (!unit.nonRoot) return cpu.cpl === 0 ? -1 : cpu.generalProtection();
  unit.exit.begin(reason);
  unit.makeInstructionExit(instruction);
  return STATUS.exit;
}

/** The same for instructions with a memory operand. */
export function rootOnlyWithOperand(unit: VmxUnit, instruction: Instruction, reason: number): number {
  if (!unit.nonRoot) return rootOnly(unit, instruction, reason);
  const { exit, cpu } = unit;
  const value = displacement(cpu, instruction);
  exit.begin(reason).qualify(value | 0, Math.floor(value / 0x100000000));
  exit.instructionInformation = encodeMemoryOperand(memoryOperand(instruction));
  unit.makeInstructionExit(instruction);
  return STATUS.exit;
}
