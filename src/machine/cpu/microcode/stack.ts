// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, SS } from '../state.ts';
import { alignmentFault, canonical, operandLinear, segmentLinear } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import { attendToFlags, changeableFlags } from './flags.ts';
import { readGeneral, writeGeneral } from './general-operand.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { popped, stackAt } from './stack-reader.ts';

/** PUSH, POP and their kind, in all modes and sizes; those of 64-bit code that are operations never come here. */
const frame = new StackFrame();

/** Pushes what was put into `frame`, and moves rSP. */
function finishPush(cpu: Processor, size: number): number {
  if (!frame.store(cpu, size)) return STATUS.fault;
  setStackPointer(cpu, frame.pointer);
  return STATUS.next;
}

function push(cpu: Processor, instruction: Instruction): number {
  const size = instruction.operandSize >> 3;
  const operand = instruction.operands[0];
  frame.onCurrent(cpu);
  if (operand.kind === OperandKind.GENERAL) frame.pushRegister(cpu, operand.register);
  else if (operand.kind === OperandKind.IMMEDIATE)
    frame.pushHalves(instruction.immediateLow, instruction.immediateHigh);
  else if (!pushMemory(cpu, instruction, size)) return STATUS.fault;
  return finishPush(cpu, size);
}

function pushMemory(cpu: Processor, instruction: Instruction, size: number): boolean {
  const linear = operandLinear(cpu, instruction, size, false);
  if (cpu.faulted) return false;
  const host = cpu.mmu.locate(linear, size, false, cpu.dataClass);
  if (host === -1) return false;
  const { view } = cpu.memory;
  frame.pushHalves(
    size === 2 ? view.getUint16(host, true) : view.getInt32(host, true),
    size === 8 ? view.getInt32(host + 4, true) : 0,
  );
  return true;
}

function pop(cpu: Processor, instruction: Instruction): number {
  const size = instruction.operandSize >> 3;
  const operand = instruction.operands[0];
  if (!popped.read(cpu, size, 1)) return STATUS.fault;
  if (operand.kind !== OperandKind.GENERAL) return popMemory(cpu, instruction, size);
  setStackPointer(cpu, popped.pointer);
  writeGeneral(cpu, operand.register, instruction.operandSize, popped.halves[0], popped.halves[1]);
  return STATUS.next;
}

/** An address that is based on rSP is made with the value after the pop. */
function popMemory(cpu: Processor, instruction: Instruction, size: number): number {
  const low = cpu.words[RSP * 2];
  const high = cpu.words[RSP * 2 + 1];
  setStackPointer(cpu, popped.pointer);
  const linear = operandLinear(cpu, instruction, size, true);
  if (!cpu.faulted) storeHalves(cpu, linear, size, popped.halves[0], popped.halves[1]);
  if (!cpu.faulted) return STATUS.next;
  cpu.words[RSP * 2] = low;
  cpu.words[RSP * 2 + 1] = high;
  return STATUS.fault;
}

function storeHalves(cpu: Processor, linear: LinearAddress, size: number, low: number, high: number): void {
  const host = cpu.mmu.locate(linear, size, true, cpu.dataClass);
  if (host === -1) return;
  const { view } = cpu.memory;
  if (size === 2) view.setUint16(host, low, true);
  else view.setInt32(host, low, true);
  if (size === 8) view.setInt32(host + 4, high, true);
  cpu.mmu.finishStore();
}

const IN_PUSHED_ORDER = [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] as const;

function pushAll(cpu: Processor, instruction: Instruction): number {
  frame.onCurrent(cpu);
  for (const register of IN_PUSHED_ORDER) frame.pushRegister(cpu, register);
  return finishPush(cpu, instruction.operandSize >> 3);
}

function popAll(cpu: Processor, instruction: Instruction): number {
  if (!popped.read(cpu, instruction.operandSize >> 3, 8)) return STATUS.fault;
  for (let i = 0; i < 8; i++) {
    const register = IN_PUSHED_ORDER[7 - i];
    if (register !== RSP) writeGeneral(cpu, register, instruction.operandSize, popped.halves[i * 2]);
  }
  setStackPointer(cpu, popped.pointer);
  return STATUS.next;
}

/** In virtual-8086 mode without CR4.VME both need IOPL 3. */
function flagsForbidden(cpu: Processor): boolean {
  return cpu.virtual8086 && (cpu.rflags & RFLAGS.IOPL) !== RFLAGS.IOPL;
}

function pushFlags(cpu: Processor, instruction: Instruction): number {
  if (cpu.code64 && instruction.operandSize === 64) return pushFlags64(cpu);
  if (flagsForbidden(cpu)) return cpu.generalProtection();
  frame.onCurrent(cpu);
  frame.push(cpu.rflags & ~(RFLAGS.VM | RFLAGS.RF));
  return finishPush(cpu, instruction.operandSize >> 3);
}

/** The kernel's way to save RFLAGS.IF: on a flat stack, 8 bytes. */
function pushFlags64(cpu: Processor): number {
  const top = cpu.getSigned(RSP * 8) - 8;
  if (!canonical(top) || !canonical(top + 7)) return cpu.fault(VECTOR.SS, 0);
  if (alignmentFault(cpu, top, 8)) return STATUS.fault;
  const host = cpu.mmu.locate(top, 8, true, cpu.dataClass);
  if (host === -1) return STATUS.fault;
  const { view } = cpu.memory;
  view.setInt32(host, cpu.rflags & ~(RFLAGS.VM | RFLAGS.RF), true);
  view.setInt32(host + 4, 0, true);
  cpu.mmu.finishStore();
  cpu.setSigned(RSP * 8, top);
  return STATUS.next;
}

function popFlags(cpu: Processor, instruction: Instruction): number {
  if (flagsForbidden(cpu)) return cpu.generalProtection();
  const { operandSize } = instruction;
  if (!popped.read(cpu, operandSize >> 3, 1)) return STATUS.fault;
  const before = cpu.rflags;
  const mask = cpu.virtual8086
    ? (changeableFlags(cpu, operandSize) | RFLAGS.IF) & ~RFLAGS.IOPL
    : changeableFlags(cpu, operandSize);
  const cleared = operandSize === 16 ? RFLAGS.RF : RFLAGS.RF | (cpu.virtual8086 ? 0 : RFLAGS.VIF | RFLAGS.VIP);
  setStackPointer(cpu, popped.pointer);
  cpu.rflags = (before & ~mask & ~cleared) | (popped.halves[0] & mask);
  if ((cpu.rflags ^ before) & RFLAGS.AC) cpu.mmu.contextChanged();
  attendToFlags(cpu, before);
  return STATUS.next;
}

/**
 * All that it accesses is probed first, in its order: an ENTER whose access is a VM exit has written nothing, for it may lie
 * where it pushes, and is executed again. One that faults has pushed what comes before the fault, as processors do. The
 * place of the new stack top is probed for writing. See: SDM 6.6.1 ENTER Instruction (volume 1).
 */
function enter(cpu: Processor, instruction: Instruction): number {
  const { operandSize } = instruction;
  const size = operandSize >> 3;
  const level = instruction.secondImmediate & 31;
  const top = stackAt(cpu, -size);
  const bottom = stackAt(cpu, -size * (1 + level) - (instruction.immediateLow & 0xffff));
  frame.onCurrent(cpu);
  if (!probeFrame(cpu, size, level, bottom)) {
    if (cpu.environment.vmx?.exitPending === true) return STATUS.fault;
    cpu.faulted = false;
  }
  frame.pushRegister(cpu, RBP);
  // The display may lie where the frame is being built: each pointer is stored before the next is read.
  for (let i = 1; i < level; i++) if (!frame.store(cpu, size) || !pushDisplay(cpu, i * size, size)) return STATUS.fault;
  if (level > 0) frame.push(top);
  if (!frame.store(cpu, size) || !probeBottom(cpu, bottom)) return STATUS.fault;
  setStackPointer(cpu, bottom);
  writeGeneral(cpu, RBP, operandSize, top, Math.floor(top / 0x100000000));
  return STATUS.next;
}

function probeFrame(cpu: Processor, size: number, level: number, bottom: number): boolean {
  for (let i = 0; i <= level; i++) {
    if (i > 0 && i < level && displayHost(cpu, i * size, size) === -1) return false;
    frame.probe(cpu, stackAt(cpu, -size * (i + 1)), size);
    if (cpu.faulted) return false;
  }
  return probeBottom(cpu, bottom);
}

function probeBottom(cpu: Processor, bottom: number): boolean {
  const linear = segmentLinear(cpu, SS, bottom, 1, true);
  return !cpu.faulted && cpu.probeWrite(linear, 1);
}

/** Where a pointer of the caller's display lies, at rBP minus some bytes; -1: it faults. */
function displayHost(cpu: Processor, below: number, size: number): number {
  const linear = segmentLinear(cpu, SS, framePointer(cpu, -below), size, false);
  return cpu.faulted ? -1 : cpu.mmu.locate(linear, size, false, cpu.dataClass);
}

/** Copies a pointer of the caller's display. */
function pushDisplay(cpu: Processor, below: number, size: number): boolean {
  const host = displayHost(cpu, below, size);
  if (host === -1) return false;
  const { view } = cpu.memory;
  frame.pushHalves(
    size === 2 ? view.getUint16(host, true) : view.getInt32(host, true),
    size === 8 ? view.getInt32(host + 4, true) : 0,
  );
  return true;
}

/** rBP as wide as the stack, moved by some bytes. */
function framePointer(cpu: Processor, distance: number): number {
  if (cpu.code64) return cpu.getSigned(RBP * 8) + distance;
  const wide = stackWidth(cpu) === 32;
  const pointer = readGeneral(cpu, RBP, wide ? 32 : 16) + distance;
  return wide ? pointer >>> 0 : pointer & 0xffff;
}

function stackWidth(cpu: Processor): 16 | 32 | 64 {
  if (cpu.code64) return 64;
  return cpu.accessRights(SS) & 0x4000 ? 32 : 16;
}

function leave(cpu: Processor, instruction: Instruction): number {
  const { operandSize } = instruction;
  const size = operandSize >> 3;
  const from = framePointer(cpu, 0);
  const linear = segmentLinear(cpu, SS, from, size, false);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(linear, size, false, cpu.dataClass);
  if (host === -1) return STATUS.fault;
  const { view } = cpu.memory;
  const low = size === 2 ? view.getUint16(host, true) : view.getInt32(host, true);
  setStackPointer(cpu, from + size);
  writeGeneral(cpu, RBP, operandSize, low, size === 8 ? view.getInt32(host + 4, true) : 0);
  return STATUS.next;
}

export const STACK_MICROCODE: MicrocodeRoutines = {
  'PUSH Zv': push,
  'PUSH Ev': push,
  'PUSH Iz': push,
  'PUSH Ibs': push,
  'POP Zv': pop,
  'POP Ev': pop,
  PUSHA: pushAll,
  POPA: popAll,
  PUSHF: pushFlags,
  POPF: popFlags,
  ENTER: enter,
  LEAVE: leave,
};
