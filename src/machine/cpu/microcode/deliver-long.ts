// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { CS, RSP, SS, STATE, TR } from '../state.ts';
import { Descriptor, TYPE, fetchDescriptor, isNull, markAccessed } from './descriptors.ts';
import { canonical } from './effective-address.ts';
import { ERROR_CODE, VECTOR, isSoftware, refuse } from './exceptions.ts';
import type { Event } from './exceptions.ts';
import { dataClassAt, implicitClass, loadSigned, putSigned } from './implicit-access.ts';
import { pushedFlags } from './pushed-flags.ts';
import { loadCode, loadNull } from './segment-load.ts';

const gate = new Descriptor();
const target = new Descriptor();

/** Where in a 64-bit TSS RSP0 and IST1 lie. See: SDM 8.7 Task Management in 64-Bit Mode. */
export const TSS64 = { rsp0: 4, ist1: 0x24 } as const;

/** Through a 16-byte gate of the IDT. See: SDM 6.14 Exception and Interrupt Handling in 64-bit Mode. */
export function deliverLong(cpu: Processor, event: Event): void {
  if (!readGate(cpu, event) || !readTarget(cpu)) return;
  const cpl = target.conforming ? cpu.cpl : target.dpl;
  const top = stackPointer(cpu, cpl);
  if (cpu.faulted) return;
  if (!canonical(gate.gateOffset)) return void cpu.fault(VECTOR.GP, 0);
  const frame = pushFrame(cpu, event, top, cpl);
  if (cpu.faulted) return;
  cpu.setSigned(RSP * 8, frame);
  if (cpl !== cpu.cpl) loadNull(cpu, SS, cpl, cpl);
  enter(cpu, cpl);
}

function readGate(cpu: Processor, event: Event): boolean {
  const code = event.vector * 8 + ERROR_CODE.idt;
  if (event.vector * 16 + 15 > cpu.get32(STATE.idtrLimit)) return refuse(cpu, VECTOR.GP, code);
  const host = cpu.mmu.locate(cpu.getSigned(STATE.idtrBase) + event.vector * 16, 16, false, implicitClass(cpu));
  if (host === -1) return false;
  const { view } = cpu.memory;
  gate.low = view.getInt32(host, true);
  gate.high = view.getInt32(host + 4, true);
  gate.baseHigh = view.getInt32(host + 8, true);
  const isGate = gate.system && (gate.type === TYPE.interruptGate32 || gate.type === TYPE.trapGate32);
  if (!isGate || (isSoftware(event) && gate.dpl < cpu.cpl)) return refuse(cpu, VECTOR.GP, code);
  return gate.present || refuse(cpu, VECTOR.NP, code);
}

/** The handler's code segment: 64-bit, at this privilege level or a more privileged one. */
function readTarget(cpu: Processor): boolean {
  const selector = gate.gateSelector;
  const code = selector & 0xfffc;
  if (isNull(selector)) return refuse(cpu, VECTOR.GP, 0);
  if (!fetchDescriptor(cpu, selector, target)) return false;
  if (!target.code || target.dpl > cpu.cpl || !target.long || target.big) return refuse(cpu, VECTOR.GP, code);
  if (!target.present) return refuse(cpu, VECTOR.NP, code);
  return markAccessed(cpu, target);
}

/** The current stack, or the TSS's by the gate's IST field or by the new privilege level; aligned down to 16. */
function stackPointer(cpu: Processor, cpl: number): number {
  const ist = gate.high & 7;
  let pointer = cpu.getSigned(RSP * 8);
  if (ist !== 0) pointer = loadTaskStack(cpu, TSS64.ist1 + (ist - 1) * 8);
  else if (cpl !== cpu.cpl) pointer = loadTaskStack(cpu, TSS64.rsp0 + cpl * 8);
  return pointer - (pointer & 15);
}

/** A stack pointer of the 64-bit TSS. */
export function loadTaskStack(cpu: Processor, offset: number): number {
  if (offset + 7 > cpu.segmentLimit(TR)) cpu.fault(VECTOR.TS, cpu.selector(TR) & 0xfffc);
  return cpu.faulted ? 0 : loadSigned(cpu, cpu.segmentBase(TR) + offset, implicitClass(cpu));
}

/** Returns the new stack pointer. */
function pushFrame(cpu: Processor, event: Event, top: LinearAddress, cpl: number): LinearAddress {
  const { words } = cpu;
  const size = event.errorCode >= 0 ? 48 : 40;
  const bottom = top - size;
  if (!canonical(bottom) || !canonical(top - 1)) cpu.fault(VECTOR.SS, 0);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(bottom, size, true, dataClassAt(cpu, cpl));
  if (host === -1) return 0;
  const { view } = cpu.memory;
  let at = host;
  if (event.errorCode >= 0) {
    putSigned(view, at, event.errorCode);
    at += 8;
  }
  putSigned(view, at, cpu.rip);
  putSigned(view, at + 8, cpu.selector(CS));
  putSigned(view, at + 16, pushedFlags(cpu, event));
  view.setInt32(at + 24, words[RSP * 2], true);
  view.setInt32(at + 28, words[RSP * 2 + 1], true);
  putSigned(view, at + 32, cpu.selector(SS));
  cpu.mmu.finishStore();
  return bottom;
}

function enter(cpu: Processor, cpl: number): void {
  const cleared = RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM;
  cpu.words[STATE.flagsOther >> 2] &= gate.type === TYPE.interruptGate32 ? ~(cleared | RFLAGS.IF) : ~cleared;
  cpu.words[STATE.cpl >> 2] = cpl;
  loadCode(cpu, target, cpl);
  cpu.rip = gate.gateOffset;
  cpu.modeChanged();
}
