// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RDI, STATE } from '../state.ts';
import { segmentLinear } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const FSW_SUMMARY = 0x80;
const FSW_TOP = 0x3800;

/** Linear address of `size` bytes at DS:rDI or the override; NaN with the fault recorded. */
function destination(cpu: Processor, instruction: Instruction, size: number): LinearAddress {
  const { addressSize, memory } = instruction;
  const offset = addressSize === 64 ? cpu.getSigned(RDI * 8) : addressSize === 32 ? cpu.reg32(RDI) : cpu.reg16(RDI);
  return segmentLinear(cpu, memory.segment, offset, size, true);
}

/**
 * Stores the bytes whose mask byte has its top bit set; `registers` is where register 0 of the kind lies. Bytes that are
 * not stored are not accessed either, so nothing of a page that has none of the others is looked at.
 */
function maskedMove(cpu: Processor, instruction: Instruction, registers: number, size: number): number {
  const { bytes } = cpu;
  const data = registers + instruction.operands[0].register * 16;
  const mask = registers + instruction.operands[1].register * 16;
  const address = destination(cpu, instruction, size);
  if (cpu.faulted) return STATUS.fault;
  const places = Array.from({ length: size }, (_, i) => i).filter((i) => bytes[mask + i] & 0x80);
  for (const place of places) if (!cpu.probeWrite(address + place, 1)) return STATUS.fault;
  for (const place of places) cpu.store8(address + place, bytes[data + place]);
  return STATUS.next;
}

function maskedMoveMmx(cpu: Processor, instruction: Instruction): number {
  const { words } = cpu;
  if (words[STATE.fsw >> 2] & FSW_SUMMARY) return cpu.fault(VECTOR.MF);
  const status = maskedMove(cpu, instruction, STATE.x87, 8);
  if (status !== STATUS.next) return status;
  words[STATE.fsw >> 2] &= ~FSW_TOP;
  words[STATE.ftw >> 2] = 0xff;
  return STATUS.next;
}

/** MASKMOVQ and MASKMOVDQU. */
export const MASKED_MOVE_MICROCODE: MicrocodeRoutines = {
  MASKMOVQ: maskedMoveMmx,
  MASKMOVDQU: (cpu, instruction) => maskedMove(cpu, instruction, STATE.xmm, 16),
};
