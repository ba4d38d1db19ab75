// SPDX-License-Identifier: Apache-2.0
import type { InstructionExit } from '../../../arch/instructions/row.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

const bytes = new Uint8Array(8);
const view = new DataView(bytes.buffer);

/** Always succeeds: CF set, the other arithmetic flags clear. */
function randomNumber(exit: InstructionExit): Microcode {
  return (cpu, instruction) => {
    if (intercepted(cpu, instruction, exit)) return INTERCEPTED;
    const { register } = instruction.operands[0];
    cpu.environment.random.fill(bytes);
    if (instruction.operandSize === 64) cpu.setReg64(register, view.getBigUint64(0, true));
    else if (instruction.operandSize === 32) cpu.setReg32(register, view.getUint32(0, true));
    else cpu.setReg16(register, view.getUint16(0, true));
    cpu.arithmeticFlags = RFLAGS.CF;
    return STATUS.next;
  };
}

export const RANDOM_MICROCODE: MicrocodeRoutines = { RDRAND: randomNumber('RDRAND'), RDSEED: randomNumber('RDSEED') };
