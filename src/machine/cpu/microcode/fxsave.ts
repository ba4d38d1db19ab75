// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0 } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { effectiveOffset, operandLinear, segmentLinear } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import {
  LEGACY_BYTES,
  imageMxcsr,
  imageOf,
  mxcsrIsValid,
  restoreX87,
  restoreXmm,
  saveMxcsr,
  saveX87,
  saveXmm,
} from './legacy-region.ts';
import { loadBlock, probeBlock, storeBlock } from './memory-block.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const ALIGNMENT = 16;
/** The part that FXSAVE writes: the rest is the operating system's. */
const WRITTEN_BYTES = 416;
const WRITTEN_BYTES_32 = 288;
const image = imageOf(LEGACY_BYTES);

/** Linear address of an area of `bytes`, aligned; NaN with the fault recorded. */
export function areaLinear(
  cpu: Processor,
  instruction: Instruction,
  bytes: number,
  alignment: number,
  write: boolean,
): LinearAddress {
  const linear = segmentLinear(cpu, instruction.memory.segment, effectiveOffset(cpu, instruction), bytes, write);
  if (!cpu.faulted && linear % alignment !== 0) cpu.generalProtection();
  return cpu.faulted ? NaN : linear;
}

function unusable(cpu: Processor): boolean {
  return (cpu.cr0 & (CR0.EM | CR0.TS)) !== 0;
}

function fxsave(cpu: Processor, instruction: Instruction): number {
  if (unusable(cpu)) return cpu.fault(VECTOR.NM);
  const linear = areaLinear(cpu, instruction, LEGACY_BYTES, ALIGNMENT, true);
  if (cpu.faulted) return STATUS.fault;
  saveX87(cpu, image, instruction.operandSize === 64);
  saveMxcsr(cpu, image);
  saveXmm(cpu, image);
  const bytes = image.bytes.subarray(0, cpu.code64 ? WRITTEN_BYTES : WRITTEN_BYTES_32);
  if (!probeBlock(cpu, linear, LEGACY_BYTES)) return STATUS.fault;
  return storeBlock(cpu, linear, bytes) ? STATUS.next : STATUS.fault;
}

function fxrstor(cpu: Processor, instruction: Instruction): number {
  if (unusable(cpu)) return cpu.fault(VECTOR.NM);
  const linear = areaLinear(cpu, instruction, LEGACY_BYTES, ALIGNMENT, false);
  if (cpu.faulted || !loadBlock(cpu, linear, image.bytes)) return STATUS.fault;
  const mxcsr = imageMxcsr(image);
  if (!mxcsrIsValid(mxcsr)) return cpu.generalProtection();
  restoreX87(cpu, image, instruction.operandSize === 64);
  cpu.set32(STATE.mxcsr, mxcsr);
  restoreXmm(cpu, image);
  return STATUS.next;
}

function ldmxcsr(cpu: Processor, instruction: Instruction): number {
  const linear = operandLinear(cpu, instruction, 4, false);
  if (cpu.faulted) return STATUS.fault;
  const value = cpu.load32(linear);
  if (cpu.faulted) return STATUS.fault;
  if (!mxcsrIsValid(value)) return cpu.generalProtection();
  cpu.set32(STATE.mxcsr, value);
  return STATUS.next;
}

function stmxcsr(cpu: Processor, instruction: Instruction): number {
  const linear = operandLinear(cpu, instruction, 4, true);
  if (cpu.faulted) return STATUS.fault;
  cpu.store32(linear, cpu.get32(STATE.mxcsr));
  return cpu.faulted ? STATUS.fault : STATUS.next;
}

export const FXSAVE_MICROCODE: MicrocodeRoutines = {
  FXSAVE: fxsave,
  FXRSTOR: fxrstor,
  LDMXCSR: ldmxcsr,
  STMXCSR: stmxcsr,
};
