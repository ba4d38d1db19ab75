// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { CS } from '../state.ts';
import { callThroughGate, jumpThroughGate } from './call-gate.ts';
import { Descriptor, TYPE, fetchDescriptor, isNull, markAccessed } from './descriptors.ts';
import { canonical, operandLinear } from './effective-address.ts';
import { VECTOR, refuse } from './exceptions.ts';
import { loadSized } from './implicit-access.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { loadCode, loadReal, loadVirtual8086 } from './segment-load.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { finishTaskSwitch } from './task-transfer.ts';
import { switchTask } from './task-switch.ts';

const target = new Descriptor();
const frame = new StackFrame();
/** Where the instruction says to go. */
const pointer = { selector: 0, offset: 0 };

/** The far pointer of the instruction, or the one in memory; false when reading it faulted. */
function readPointer(cpu: Processor, instruction: Instruction): boolean {
  if (instruction.operands[0].kind === OperandKind.FAR_POINTER) {
    pointer.offset = instruction.immediateLow >>> 0;
    pointer.selector = instruction.secondImmediate;
    return true;
  }
  const size = instruction.operandSize >> 3;
  const linear = operandLinear(cpu, instruction, size + 2, false);
  if (cpu.faulted) return false;
  pointer.offset = loadSized(cpu, linear, size, cpu.dataClass);
  pointer.selector = cpu.load16(linear + size);
  return !cpu.faulted;
}

function farJump(cpu: Processor, instruction: Instruction): number {
  if (!readPointer(cpu, instruction)) return STATUS.fault;
  return cpu.realMode || cpu.virtual8086 ? transferReal(cpu, 0) : transferProtected(cpu, 0);
}

function farCall(cpu: Processor, instruction: Instruction): number {
  if (!readPointer(cpu, instruction)) return STATUS.fault;
  const size = instruction.operandSize >> 3;
  return cpu.realMode || cpu.virtual8086 ? transferReal(cpu, size) : transferProtected(cpu, size);
}

/** Pushes CS and the return address when `size` (of a call) is not 0; probes everything before. */
function pushReturn(cpu: Processor, size: number): boolean {
  if (size === 0) return true;
  frame.onCurrent(cpu);
  frame.push(cpu.selector(CS));
  frame.push(cpu.rip);
  if (!frame.store(cpu, size)) return false;
  setStackPointer(cpu, frame.pointer);
  return true;
}

function transferReal(cpu: Processor, size: number): number {
  const { selector, offset } = pointer;
  if (offset > cpu.segmentLimit(CS)) return cpu.generalProtection();
  if (!pushReturn(cpu, size)) return STATUS.fault;
  if (cpu.virtual8086) loadVirtual8086(cpu, CS, selector);
  else loadReal(cpu, CS, selector);
  cpu.rip = offset;
  cpu.modeChanged();
  return STATUS.next;
}

/** See: SDM 5.8.1 Direct Calls or Jumps to Code Segments. */
function transferProtected(cpu: Processor, size: number): number {
  const { selector, offset } = pointer;
  if (isNull(selector)) return cpu.generalProtection();
  if (!fetchDescriptor(cpu, selector, target)) return STATUS.fault;
  if (target.system) return transferThroughSystemDescriptor(cpu, size !== 0);
  if (!checkCode(cpu, offset) || !pushReturn(cpu, size)) return STATUS.fault;
  loadCode(cpu, target, cpu.cpl);
  cpu.rip = offset;
  cpu.modeChanged();
  return STATUS.next;
}

function checkCode(cpu: Processor, offset: number): boolean {
  const { selector } = target;
  const code = selector & 0xfffc;
  const { cpl } = cpu;
  const level = target.conforming ? target.dpl <= cpl : (selector & 3) <= cpl && target.dpl === cpl;
  if (!target.code || !level || (cpu.longMode && target.long && target.big)) return refuse(cpu, VECTOR.GP, code);
  if (!target.present) return refuse(cpu, VECTOR.NP, code);
  const inside = cpu.longMode && target.long ? canonical(offset) : offset >= 0 && offset <= target.limit;
  return inside ? markAccessed(cpu, target) : refuse(cpu, VECTOR.GP, 0);
}

/** A call gate; outside IA-32e mode also a task gate or a task-state segment. */
function transferThroughSystemDescriptor(cpu: Processor, call: boolean): number {
  const { selector, type, dpl } = target;
  const code = selector & 0xfffc;
  const long = cpu.longMode;
  const isCallGate = type === TYPE.callGate32 || (type === TYPE.callGate16 && !long);
  const isTask = !long && (type === TYPE.taskGate || type === TYPE.tss16 || type === TYPE.tss32);
  if ((!isCallGate && !isTask) || dpl < cpu.cpl || dpl < (selector & 3)) return cpu.generalProtection(code);
  if (!target.present) return cpu.fault(VECTOR.NP, code);
  if (isCallGate) return (call ? callThroughGate : jumpThroughGate)(cpu, target);
  const task = type === TYPE.taskGate ? target.gateSelector : selector;
  return finishTaskSwitch(cpu, switchTask(cpu, task, call ? 'call' : 'jump', -1));
}

export const FAR_TRANSFER_MICROCODE: MicrocodeRoutines = {
  'JMP Ap': farJump,
  'JMP Mp': farJump,
  'CALL Ap': farCall,
  'CALL Mp': farCall,
};
