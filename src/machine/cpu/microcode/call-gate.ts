// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { CS, RSP, SS, STATE } from '../state.ts';
import { TSS64, loadTaskStack } from './deliver-long.ts';
import { Descriptor, TYPE, fetchDescriptor, fetchUpperHalf, isNull, markAccessed } from './descriptors.ts';
import { canonical, segmentLinear } from './effective-address.ts';
import { VECTOR, refuse } from './exceptions.ts';
import { loadSized } from './implicit-access.ts';
import { newStack, readInnerStack } from './inner-stack.ts';
import { loadCode, loadFrom, loadNull } from './segment-load.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { stackAt } from './stack-reader.ts';

const target = new Descriptor();
const frame = new StackFrame();

/** The gate itself was checked (type, privilege, present). See: SDM 5.8.4 Accessing a Code Segment Through a Call Gate. */
export function jumpThroughGate(cpu: Processor, gate: Descriptor): number {
  if (!readTarget(cpu, gate)) return STATUS.fault;
  if (!target.conforming && target.dpl !== cpu.cpl) return cpu.generalProtection(target.selector & 0xfffc);
  if (!checkOffset(cpu, gate)) return STATUS.fault;
  return enter(cpu, gate, cpu.cpl);
}

export function callThroughGate(cpu: Processor, gate: Descriptor): number {
  if (!readTarget(cpu, gate)) return STATUS.fault;
  const inner = !target.conforming && target.dpl < cpu.cpl;
  if (inner) return cpu.longMode ? callInner64(cpu, gate) : callInner(cpu, gate);
  if (!checkOffset(cpu, gate)) return STATUS.fault;
  frame.onCurrent(cpu);
  if (!pushReturn(cpu, gate)) return STATUS.fault;
  setStackPointer(cpu, frame.pointer);
  return enter(cpu, gate, cpu.cpl);
}

function gateBytes(cpu: Processor, gate: Descriptor): 2 | 4 | 8 {
  if (cpu.longMode) return 8;
  return gate.type === TYPE.callGate32 ? 4 : 2;
}

function gateOffset(gate: Descriptor): number {
  return gate.type === TYPE.callGate32 ? gate.gateOffset : gate.gateOffset & 0xffff;
}

function readTarget(cpu: Processor, gate: Descriptor): boolean {
  const long = cpu.longMode;
  if (long && !fetchUpperHalf(cpu, gate)) return false;
  const selector = gate.gateSelector;
  const code = selector & 0xfffc;
  if (isNull(selector)) return refuse(cpu, VECTOR.GP, 0);
  if (!fetchDescriptor(cpu, selector, target)) return false;
  if (!target.code || target.dpl > cpu.cpl || (long && (!target.long || target.big)))
    return refuse(cpu, VECTOR.GP, code);
  if (!target.present) return refuse(cpu, VECTOR.NP, code);
  return markAccessed(cpu, target);
}

function checkOffset(cpu: Processor, gate: Descriptor): boolean {
  const offset = gateOffset(gate);
  const inside = cpu.longMode ? canonical(offset) : offset <= target.limit;
  return inside || refuse(cpu, VECTOR.GP, 0);
}

function pushReturn(cpu: Processor, gate: Descriptor): boolean {
  frame.push(cpu.selector(CS));
  frame.push(cpu.rip);
  return frame.store(cpu, gateBytes(cpu, gate));
}

/** To the stack of the inner level, with up to 31 parameters copied. */
function callInner(cpu: Processor, gate: Descriptor): number {
  const cpl = target.dpl;
  if (!readInnerStack(cpu, cpl) || !checkOffset(cpu, gate)) return STATUS.fault;
  frame.onNew(cpu, newStack.descriptor, newStack.pointer, cpl);
  frame.push(cpu.selector(SS));
  frame.push(cpu.reg32(RSP));
  if (!pushParameters(cpu, gate) || !pushReturn(cpu, gate)) return STATUS.fault;
  loadFrom(cpu, SS, newStack.descriptor.selector, newStack.descriptor);
  setStackPointer(cpu, frame.pointer);
  return enter(cpu, gate, cpl);
}

function pushParameters(cpu: Processor, gate: Descriptor): boolean {
  const size = gateBytes(cpu, gate);
  for (let i = (gate.high & 31) - 1; i >= 0; i--) {
    const linear = segmentLinear(cpu, SS, stackAt(cpu, i * size), size, false);
    if (cpu.faulted) return false;
    frame.push(loadSized(cpu, linear, size, cpu.dataClass));
  }
  return !cpu.faulted;
}

function callInner64(cpu: Processor, gate: Descriptor): number {
  const cpl = target.dpl;
  const top = loadTaskStack(cpu, TSS64.rsp0 + cpl * 8);
  if (cpu.faulted || !checkOffset(cpu, gate)) return STATUS.fault;
  frame.onNew64(cpu, top, cpl);
  frame.push(cpu.selector(SS));
  frame.pushRegister(cpu, RSP);
  if (!pushReturn(cpu, gate)) return STATUS.fault;
  loadNull(cpu, SS, cpl, cpl);
  cpu.setSigned(RSP * 8, frame.pointer);
  return enter(cpu, gate, cpl);
}

function enter(cpu: Processor, gate: Descriptor, cpl: number): number {
  cpu.words[STATE.cpl >> 2] = cpl;
  loadCode(cpu, target, cpl);
  cpu.rip = gateOffset(gate);
  cpu.modeChanged();
  return STATUS.next;
}
