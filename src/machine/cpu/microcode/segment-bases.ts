// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import { FS, GS, SEGMENT, segmentOffset } from '../state.ts';
import { canonical } from './effective-address.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

function read(segment: number): Microcode {
  const offset = segmentOffset(segment) + SEGMENT.base;
  return (cpu, instruction) => {
    if ((cpu.cr4 & CR4.FSGSBASE) === 0) return cpu.undefinedOpcode();
    const { register, size } = instruction.operands[0];
    if (size === 64) cpu.setReg64(register, cpu.get64(offset));
    else cpu.setReg32(register, cpu.get32(offset));
    return STATUS.next;
  };
}

function write(segment: number): Microcode {
  const offset = segmentOffset(segment) + SEGMENT.base;
  return (cpu, instruction) => {
    if ((cpu.cr4 & CR4.FSGSBASE) === 0) return cpu.undefinedOpcode();
    const { register, size } = instruction.operands[0];
    if (size === 64 && !canonical(cpu.getSigned(register * 8))) return cpu.generalProtection();
    cpu.set64(offset, size === 64 ? cpu.reg64(register) : BigInt(cpu.reg32(register)));
    return STATUS.next;
  };
}

export const SEGMENT_BASE_MICROCODE: MicrocodeRoutines = {
  RDFSBASE: read(FS),
  RDGSBASE: read(GS),
  WRFSBASE: write(FS),
  WRGSBASE: write(GS),
};
