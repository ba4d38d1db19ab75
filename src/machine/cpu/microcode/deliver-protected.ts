// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { CS, DS, ES, FS, GS, RSP, SS, STATE } from '../state.ts';
import {
  Descriptor,
  TYPE,
  fetchDescriptor,
  isNull,
  markAccessed,
  readDescriptor,
  tableAddress,
} from './descriptors.ts';
import { ERROR_CODE, VECTOR, isSoftware, refuse } from './exceptions.ts';
import type { Event } from './exceptions.ts';
import { pushedFlags } from './pushed-flags.ts';
import { loadCode, loadFrom, loadNull } from './segment-load.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { newStack, readInnerStack } from './inner-stack.ts';
import { switchTask } from './task-switch.ts';

const gate = new Descriptor();
const target = new Descriptor();
const frame = new StackFrame();

/** Through an 8-byte gate of the IDT, outside IA-32e mode. See: SDM 6.12 Exception and Interrupt Handling. */
export function deliverProtected(cpu: Processor, event: Event): void {
  if (!readGate(cpu, event)) return;
  if (gate.type === TYPE.taskGate) return void switchTask(cpu, gate.gateSelector, 'interrupt', event.errorCode);
  if (!readTarget(cpu)) return;
  const inner = !target.conforming && target.dpl < cpu.cpl;
  if (cpu.virtual8086 && (!inner || target.dpl !== 0)) return void cpu.fault(VECTOR.GP, target.selector & 0xfffc);
  if (offset() > target.limit) return void cpu.fault(VECTOR.GP, 0);
  if (inner) toInner(cpu, event);
  else toSame(cpu, event);
}

function size(): 2 | 4 {
  return gate.type & 8 ? 4 : 2;
}
function offset(): number {
  return size() === 4 ? gate.gateOffset : gate.gateOffset & 0xffff;
}

function readGate(cpu: Processor, event: Event): boolean {
  const code = event.vector * 8 + ERROR_CODE.idt;
  if (event.vector * 8 + 7 > cpu.get32(STATE.idtrLimit)) return refuse(cpu, VECTOR.GP, code);
  if (!readDescriptor(cpu, tableAddress(cpu, cpu.getSigned(STATE.idtrBase), event.vector * 8), 0, gate)) return false;
  const type = gate.type & 7;
  const isGate =
    gate.system && (gate.type === TYPE.taskGate || type === TYPE.interruptGate16 || type === TYPE.trapGate16);
  if (!isGate || (isSoftware(event) && gate.dpl < cpu.cpl)) return refuse(cpu, VECTOR.GP, code);
  return gate.present || refuse(cpu, VECTOR.NP, code);
}

function readTarget(cpu: Processor): boolean {
  const selector = gate.gateSelector;
  const code = selector & 0xfffc;
  if (isNull(selector)) return refuse(cpu, VECTOR.GP, 0);
  if (!fetchDescriptor(cpu, selector, target)) return false;
  if (!target.code || target.dpl > cpu.cpl) return refuse(cpu, VECTOR.GP, code);
  if (!target.present) return refuse(cpu, VECTOR.NP, code);
  return markAccessed(cpu, target);
}

/** What every handler finds on top of its stack. */
function pushReturn(cpu: Processor, event: Event): boolean {
  frame.push(pushedFlags(cpu, event));
  frame.push(cpu.selector(CS));
  frame.push(cpu.get32(STATE.rip));
  if (event.errorCode >= 0) frame.push(event.errorCode);
  return frame.store(cpu, size());
}

function toSame(cpu: Processor, event: Event): void {
  frame.onCurrent(cpu);
  if (!pushReturn(cpu, event)) return;
  setStackPointer(cpu, frame.pointer);
  enter(cpu, cpu.cpl);
}

/** Switches to the stack that the task-state segment holds for the handler's level. */
function toInner(cpu: Processor, event: Event): void {
  const cpl = target.dpl;
  if (!readInnerStack(cpu, cpl)) return;
  const virtual8086 = cpu.virtual8086;
  frame.onNew(cpu, newStack.descriptor, newStack.pointer, cpl);
  if (virtual8086) for (const segment of [GS, FS, DS, ES]) frame.push(cpu.selector(segment));
  frame.push(cpu.selector(SS));
  frame.push(cpu.reg32(RSP));
  if (!pushReturn(cpu, event)) return;
  if (virtual8086) for (const segment of [GS, FS, DS, ES]) loadNull(cpu, segment, 0, 0);
  loadFrom(cpu, SS, newStack.descriptor.selector, newStack.descriptor);
  cpu.words[STATE.flagsOther >> 2] &= ~RFLAGS.VM;
  setStackPointer(cpu, frame.pointer);
  enter(cpu, cpl);
}

function enter(cpu: Processor, cpl: number): void {
  const interrupt = (gate.type & 7) === TYPE.interruptGate16;
  const cleared = RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM;
  cpu.words[STATE.flagsOther >> 2] &= interrupt ? ~(cleared | RFLAGS.IF) : ~cleared;
  cpu.words[STATE.cpl >> 2] = cpl;
  loadCode(cpu, target, cpl);
  cpu.rip = offset();
  cpu.modeChanged();
}
