// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { operandLinear } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import { readGeneral } from './general-operand.ts';
import { softwareInterrupt } from './interrupt-delivery.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** INT n. In virtual-8086 mode it needs IOPL 3, unlike the one-byte forms. */
function interrupt(cpu: Processor, instruction: Instruction): number {
  if (cpu.virtual8086 && (cpu.rflags & RFLAGS.IOPL) !== RFLAGS.IOPL) return cpu.generalProtection();
  return softwareInterrupt(cpu, {
    vector: instruction.immediateLow & 0xff,
    kind: 'software',
    errorCode: -1,
    instructionLength: instruction.length,
  });
}

function breakpoint(cpu: Processor, instruction: Instruction): number {
  return softwareInterrupt(cpu, {
    vector: VECTOR.BP,
    kind: 'softwareException',
    errorCode: -1,
    instructionLength: instruction.length,
  });
}

function overflow(cpu: Processor, instruction: Instruction): number {
  if ((cpu.arithmeticFlags & RFLAGS.OF) === 0) return STATUS.next;
  return softwareInterrupt(cpu, {
    vector: VECTOR.OF,
    kind: 'softwareException',
    errorCode: -1,
    instructionLength: instruction.length,
  });
}

/** INT1 (ICEBP): a debug exception that no gate's DPL refuses. */
function debug(cpu: Processor, instruction: Instruction): number {
  return softwareInterrupt(cpu, {
    vector: VECTOR.DB,
    kind: 'privilegedSoftware',
    errorCode: -1,
    instructionLength: instruction.length,
  });
}

/** #BR unless lower <= index <= upper, signed. */
function bound(cpu: Processor, instruction: Instruction): number {
  const bits = instruction.operandSize;
  const size = bits >> 3;
  const linear = operandLinear(cpu, instruction, size * 2, false);
  if (cpu.faulted) return STATUS.fault;
  const shift = 32 - bits;
  const lower = size === 2 ? cpu.load16(linear) : cpu.load32(linear);
  const upper = size === 2 ? cpu.load16(linear + size) : cpu.load32(linear + size);
  if (cpu.faulted) return STATUS.fault;
  const signed = (value: number): number => (value << shift) >> shift;
  const index = signed(readGeneral(cpu, instruction.operands[0].register, bits));
  return index < signed(lower) || index > signed(upper) ? cpu.fault(VECTOR.BR) : STATUS.next;
}

const undefinedOpcode = (cpu: Processor): number => cpu.undefinedOpcode();

export const SOFTWARE_INTERRUPT_MICROCODE: MicrocodeRoutines = {
  INT: interrupt,
  INT3: breakpoint,
  INTO: overflow,
  INT1: debug,
  BOUND: bound,
  UD0: undefinedOpcode,
  UD1: undefinedOpcode,
  UD2: undefinedOpcode,
};
