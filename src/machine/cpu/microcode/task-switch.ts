// SPDX-License-Identifier: Apache-2.0
import { CR0, RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, CS, ES, LDTR, SS, STATE, TR } from '../state.ts';
import { writeCr3 } from './control-registers.ts';
import { Descriptor, TYPE, fetchDescriptor, isNull, markAccessed, setBusy, tableAddress } from './descriptors.ts';
import { VECTOR, VM_EXIT_RECORDED, refuse } from './exceptions.ts';
import { implicitClass } from './implicit-access.ts';
import { checkDataSegment, checkStackSegment, loadFrom, loadLdtr, loadNull, loadVirtual8086 } from './segment-load.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { TSS16, TSS32, TaskState, probeCurrentTask, saveCurrentTask } from './task-state.ts';
import type { TaskLayout } from './task-state.ts';

export type TaskSwitchReason = 'jump' | 'call' | 'interrupt' | 'iret';

/** Task switches always cause VM exits in VMX non-root operation: true when it did. */
export interface TaskSwitchHooks {
  interceptTaskSwitch?: (selector: number, reason: TaskSwitchReason, errorCode: number) => boolean;
}

const descriptor = new Descriptor();
const old = new Descriptor();
const part = new Descriptor();
const state = new TaskState();
const frame = new StackFrame();

const LOCAL_BREAKPOINTS = 0x155;
const TASK_SWITCH_TRAP = 0x8000;

/**
 * Leaves the current task for the one whose TSS `selector` names. Privilege checks are the caller's. A fault recorded
 * before the switch leaves everything as it was and gives false; a fault of the new task (bad segments) is recorded
 * with the switch done and gives true: it is to be raised at the new `cpu.rip`. See: SDM 8.3 Task Switching.
 */
export function switchTask(cpu: Processor, selector: number, reason: TaskSwitchReason, errorCode: number): boolean {
  if (!checkTask(cpu, selector, reason)) return false;
  const layout = descriptor.type & 8 ? TSS32 : TSS16;
  if (descriptor.limit < layout.limit) return refuse(cpu, VECTOR.TS, selector & 0xfffc);
  if ((cpu as Processor & TaskSwitchHooks).interceptTaskSwitch?.(selector, reason, errorCode))
    return refuse(cpu, VM_EXIT_RECORDED, -1);
  const nests = reason === 'call' || reason === 'interrupt';
  const { base } = descriptor;
  if (nests) cpu.probeWrite(tableAddress(cpu, base, 0), 2, implicitClass(cpu));
  if (cpu.faulted || !state.read(cpu, base, layout) || !probeCurrentTask(cpu)) return false;
  if (!markBusy(cpu, reason)) return false;
  const flags = cpu.rflags;
  saveCurrentTask(cpu, reason === 'iret' ? flags & ~RFLAGS.NT : flags);
  if (nests) cpu.store16(tableAddress(cpu, base, 0), cpu.selector(TR), implicitClass(cpu));
  if (nests) state.flags |= RFLAGS.NT;
  enterTask(cpu, layout);
  if (!cpu.faulted && reason === 'interrupt' && errorCode >= 0) pushErrorCode(cpu, layout, errorCode);
  return true;
}

/** The new task's descriptor: in the GDT, available (for IRET busy), present. */
function checkTask(cpu: Processor, selector: number, reason: TaskSwitchReason): boolean {
  const vector = reason === 'iret' ? VECTOR.TS : VECTOR.GP;
  const code = selector & 0xfffc;
  if (selector & 4 || isNull(selector)) return refuse(cpu, vector, code);
  if (!fetchDescriptor(cpu, selector, descriptor, vector)) return false;
  const wanted = reason === 'iret' ? TYPE.tss16Busy : TYPE.tss16;
  if (!descriptor.system || (descriptor.type & 7) !== wanted) return refuse(cpu, vector, code);
  return descriptor.present || refuse(cpu, VECTOR.NP, code);
}

/** The old task stays busy when the new one is nested in it; the new one becomes busy unless it was. */
function markBusy(cpu: Processor, reason: TaskSwitchReason): boolean {
  const leaves = reason === 'jump' || reason === 'iret';
  if (
    leaves &&
    (!fetchDescriptor(cpu, cpu.selector(TR), old, VECTOR.TS) || !cpu.probeWrite(old.address + 5, 1, implicitClass(cpu)))
  )
    return false;
  if (reason !== 'iret' && !setBusy(cpu, descriptor, true)) return false;
  return !leaves || setBusy(cpu, old, false);
}

function enterTask(cpu: Processor, layout: TaskLayout): void {
  const { words } = cpu;
  loadFrom(cpu, TR, descriptor.selector, descriptor);
  words[STATE.cr0 >> 2] |= CR0.TS;
  words[STATE.dr7 >> 2] &= ~LOCAL_BREAKPOINTS;
  if (layout.bytes === 4 && cpu.cr0 & CR0.PG) writeCr3(cpu, state.cr3, 0);
  for (let i = 0; i < 8; i++) cpu.setReg32(i, state.general[i]);
  cpu.rip = state.ip;
  cpu.rflags = layout.bytes === 4 ? state.flags : state.flags & 0xffff;
  for (let segment = ES; segment < 6; segment++) loadNull(cpu, segment, state.segments[segment], 0);
  loadNull(cpu, LDTR, state.ldtr, 0);
  words[STATE.cpl >> 2] = cpu.virtual8086 ? 3 : state.segments[CS] & 3;
  loadTaskSegments(cpu);
  cpu.modeChanged();
  const flags = words[STATE.flagsOther >> 2];
  if (flags & RFLAGS.IF) words[STATE.attention >> 2] |= ATTENTION.interrupt;
  if (flags & RFLAGS.TF) words[STATE.attention >> 2] |= ATTENTION.debug;
  if (!cpu.faulted && state.ip > cpu.segmentLimit(CS)) cpu.fault(VECTOR.GP, 0);
  if (!cpu.faulted && state.trap) taskTrap(cpu);
}

/** The T flag of the new task: #DB before its first instruction. */
function taskTrap(cpu: Processor): void {
  cpu.debugFault(TASK_SWITCH_TRAP);
}

/** Faults here are #TS of the new task, #NP and #SS where a segment is not present. */
function loadTaskSegments(cpu: Processor): void {
  const { segments } = state;
  if (!loadLdtr(cpu, state.ldtr, VECTOR.TS)) return;
  if (cpu.virtual8086) {
    for (let segment = ES; segment < 6; segment++) loadVirtual8086(cpu, segment, segments[segment]);
    return;
  }
  const { cpl } = cpu;
  if (!loadTaskCode(cpu, segments[CS], cpl)) return;
  if (isNull(segments[SS])) return void cpu.fault(VECTOR.TS, 0);
  if (!checkStackSegment(cpu, segments[SS], cpl, VECTOR.TS, part)) return;
  loadFrom(cpu, SS, segments[SS], part);
  for (let segment = ES; segment < 6; segment++) {
    if (segment === CS || segment === SS || isNull(segments[segment])) continue;
    if (!checkDataSegment(cpu, segments[segment], cpl, VECTOR.TS, part)) return;
    loadFrom(cpu, segment, segments[segment], part);
  }
}

function loadTaskCode(cpu: Processor, selector: number, cpl: number): boolean {
  const code = selector & 0xfffc;
  if (isNull(selector)) return refuse(cpu, VECTOR.TS, 0);
  if (!fetchDescriptor(cpu, selector, part, VECTOR.TS)) return false;
  if (!part.code || (part.conforming ? part.dpl > cpl : part.dpl !== cpl)) return refuse(cpu, VECTOR.TS, code);
  if (!part.present) return refuse(cpu, VECTOR.NP, code);
  if (!markAccessed(cpu, part)) return false;
  loadFrom(cpu, CS, selector, part);
  return true;
}

/** The error code of the exception whose task gate led here, on the new task's stack. */
function pushErrorCode(cpu: Processor, layout: TaskLayout, errorCode: number): void {
  frame.onCurrent(cpu);
  frame.push(errorCode);
  if (frame.store(cpu, layout.bytes)) setStackPointer(cpu, frame.pointer);
}
