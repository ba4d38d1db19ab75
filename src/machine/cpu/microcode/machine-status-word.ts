// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0, CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { shownControl, writeCr0 } from './control-registers.ts';
import { operandLinear } from './effective-address.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const STATUS_BITS = CR0.PE | CR0.MP | CR0.EM | CR0.TS;

/** User-mode instruction prevention: SGDT, SIDT, SLDT, SMSW and STR above CPL 0. See: SDM 2.5 Control Registers. */
export function prevented(cpu: Processor): boolean {
  return (cpu.cr4 & CR4.UMIP) !== 0 && cpu.cpl > 0;
}

/** PE can be set, not cleared. */
function lmsw(cpu: Processor, instruction: Instruction): number {
  const operand = instruction.operands[0];
  const inMemory = operand.kind === OperandKind.MEMORY;
  const linear = inMemory ? operandLinear(cpu, instruction, 2, false) : NaN;
  if (cpu.faulted) return STATUS.fault;
  const source = inMemory ? cpu.load16(linear) : cpu.reg16(operand.register);
  if (cpu.faulted) return STATUS.fault;
  const details = { number: 0, write: true, value: BigInt(source), ...(inMemory ? { linear } : {}) };
  if (intercepted(cpu, instruction, 'Control-register accesses', details)) return INTERCEPTED;
  const shown = shownControl(cpu, 0);
  return writeCr0(cpu, (shown & ~STATUS_BITS) | (source & STATUS_BITS) | (shown & CR0.PE));
}

function smsw(cpu: Processor, instruction: Instruction): number {
  if (prevented(cpu)) return cpu.generalProtection();
  const operand = instruction.operands[0];
  const value = shownControl(cpu, 0);
  if (operand.kind === OperandKind.MEMORY) {
    const linear = operandLinear(cpu, instruction, 2, true);
    if (cpu.faulted) return STATUS.fault;
    cpu.store16(linear, value & 0xffff);
    return cpu.faulted ? STATUS.fault : STATUS.next;
  }
  if (operand.size === 16) cpu.setReg16(operand.register, value & 0xffff);
  else cpu.setReg32(operand.register, value);
  return STATUS.next;
}

export const MACHINE_STATUS_WORD_MICROCODE: MicrocodeRoutines = { LMSW: lmsw, SMSW: smsw };
