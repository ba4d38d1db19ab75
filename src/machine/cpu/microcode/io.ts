// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, RDX, SEGMENT, STATE, TR, segmentOffset } from '../state.ts';
import { implicitClass } from './implicit-access.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { destination, source } from './string-step.ts';
import type { StringStep } from './string-step.ts';
import { stringMicrocode } from './strings.ts';

type Width = 1 | 2 | 4;

const IO_MAP_BASE = 0x66;
/** TSS types other than the 16-bit ones. */
const WIDE_TSS = 8;

/** Above IOPL, and in virtual-8086 mode, the TSS says which ports are open. See: SDM 19.5 Protected-Mode I/O. */
function permitted(cpu: Processor, port: number, width: Width): boolean {
  const iopl = (cpu.words[STATE.flagsOther >> 2] >> 12) & 3;
  if (cpu.realMode || (!cpu.virtual8086 && cpu.cpl <= iopl)) return true;
  const limit = cpu.segmentLimit(TR);
  if ((cpu.accessRights(TR) & WIDE_TSS) === 0 || limit < IO_MAP_BASE + 1) return refuse(cpu);
  const tss = cpu.getSigned(segmentOffset(TR) + SEGMENT.base);
  const map = cpu.load16(tss + IO_MAP_BASE, implicitClass(cpu));
  // Two bytes are read, so that a port at the end of one reaches into the next.
  const offset = map + (port >> 3);
  if (cpu.faulted || offset + 1 > limit) return refuse(cpu);
  const bits = cpu.load16(tss + offset, implicitClass(cpu)) >> (port & 7);
  return !cpu.faulted && (bits & ((1 << width) - 1)) === 0 ? true : refuse(cpu);
}

/** #GP(0), unless the TSS itself faulted. */
function refuse(cpu: Processor): false {
  cpu.generalProtection();
  return false;
}

function portOf(cpu: Processor, instruction: Instruction, operand: number): number {
  return instruction.operands[operand].kind === OperandKind.IMMEDIATE
    ? instruction.immediateLow & 0xff
    : cpu.reg16(RDX);
}

function input(cpu: Processor, instruction: Instruction): number {
  const width = (instruction.operands[0].size / 8) as Width;
  const port = portOf(cpu, instruction, 1);
  if (!permitted(cpu, port, width)) return STATUS.fault;
  if (intercepted(cpu, instruction, 'I/O instruction', { number: port, bytes: width, write: false }))
    return INTERCEPTED;
  const value = cpu.bus.readPort(port, width);
  cpu.breakpoints.notePort(port, width);
  if (width === 4) cpu.setReg32(RAX, value);
  else if (width === 2) cpu.setReg16(RAX, value);
  else cpu.view.setUint8(RAX * 8, value);
  return STATUS.next;
}

function output(cpu: Processor, instruction: Instruction): number {
  const width = (instruction.operands[1].size / 8) as Width;
  const port = portOf(cpu, instruction, 0);
  if (!permitted(cpu, port, width)) return STATUS.fault;
  if (intercepted(cpu, instruction, 'I/O instruction', { number: port, bytes: width, write: true })) return INTERCEPTED;
  const value = cpu.reg32(RAX);
  cpu.bus.writePort(port, width, width === 4 ? value : value & (2 ** (8 * width) - 1));
  cpu.breakpoints.notePort(port, width);
  return STATUS.next;
}

/** The destination must take the value before the port is read: reading may have side effects. */
function inputString(step: StringStep): boolean {
  const { cpu } = step;
  const to = destination(step, true);
  const width = step.bytes as Width;
  if (cpu.faulted || !cpu.probeWrite(to, width)) return false;
  const value = cpu.bus.readPort(cpu.reg16(RDX), width);
  cpu.breakpoints.notePort(cpu.reg16(RDX), width);
  if (width === 4) cpu.store32(to, value);
  else if (width === 2) cpu.store16(to, value);
  else cpu.store8(to, value);
  return !cpu.faulted;
}

function outputString(step: StringStep): boolean {
  const { cpu } = step;
  const from = source(step);
  const width = step.bytes as Width;
  if (cpu.faulted) return false;
  const value = width === 4 ? cpu.load32(from) : width === 2 ? cpu.load16(from) : cpu.load8(from);
  if (cpu.faulted) return false;
  cpu.bus.writePort(cpu.reg16(RDX), width, value);
  cpu.breakpoints.notePort(cpu.reg16(RDX), width);
  return true;
}

function nothingToDo(cpu: Processor, instruction: Instruction): boolean {
  if (instruction.rep === 0) return false;
  if (instruction.addressSize === 64) return cpu.reg64(RCX) === 0n;
  return (instruction.addressSize === 32 ? cpu.reg32(RCX) : cpu.reg16(RCX)) === 0;
}

function stringPort(write: boolean, run: Microcode): Microcode {
  return (cpu, instruction) => {
    const bytes = (instruction.operands[write ? 1 : 0].size / 8) as Width;
    const number = cpu.reg16(RDX);
    // Processors ask this even where the count is zero.
    if (!permitted(cpu, number, bytes)) return STATUS.fault;
    if (nothingToDo(cpu, instruction)) return STATUS.next;
    if (intercepted(cpu, instruction, 'I/O instruction', { number, bytes, write })) return INTERCEPTED;
    return run(cpu, instruction);
  };
}

export const IO_MICROCODE: MicrocodeRoutines = {
  IN: input,
  OUT: output,
  INS: stringPort(false, stringMicrocode({ usesSource: false, usesDestination: true, iteration: inputString })),
  OUTS: stringPort(true, stringMicrocode({ usesSource: true, usesDestination: false, iteration: outputString })),
};
