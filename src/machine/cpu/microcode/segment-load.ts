// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { CS, LDTR, SEGMENT, SS, TR, segmentOffset } from '../state.ts';
import {
  Descriptor,
  RIGHTS,
  TYPE,
  fetchDescriptor,
  fetchUpperHalf,
  isNull,
  markAccessed,
  setBusy,
} from './descriptors.ts';
import { canonical } from './effective-address.ts';
import { VECTOR, refuse } from './exceptions.ts';

/** Access rights that loading a segment register sets in real-address and in virtual-8086 mode. */
const REAL_RIGHTS = 0x93;
const VIRTUAL_8086_RIGHTS = 0xf3;
const KEPT_IN_REAL_MODE = RIGHTS.big | RIGHTS.granularity;

const loaded = new Descriptor();

/**
 * Loads ES, SS, DS, FS or GS as MOV, POP and LxS do, with the checks of the current mode.
 * Returns false with the fault recorded and the register unchanged. Calls `modeChanged`.
 */
export function loadSegment(cpu: Processor, segment: number, selector: number): boolean {
  if (!checkSegment(cpu, segment, selector)) return false;
  commitSegment(cpu, segment, selector);
  cpu.modeChanged();
  return true;
}

/** The checks alone; `commitSegment` with the same arguments must follow before any other load. */
export function checkSegment(cpu: Processor, segment: number, selector: number): boolean {
  if (cpu.realMode || cpu.virtual8086) return true;
  if (segment === SS) return checkStackSegment(cpu, selector, cpu.cpl, VECTOR.GP, loaded);
  return isNull(selector) || checkDataSegment(cpu, selector, cpu.cpl, VECTOR.GP, loaded);
}

function commitSegment(cpu: Processor, segment: number, selector: number): void {
  if (cpu.realMode) loadReal(cpu, segment, selector);
  else if (cpu.virtual8086) loadVirtual8086(cpu, segment, selector);
  else if (isNull(selector)) loadNull(cpu, segment, selector, segment === SS ? cpu.cpl : 0);
  else loadFrom(cpu, segment, selector, loaded);
}

/** Only selector and base change: a limit set in protected mode stays. See: SDM 21.1.1 Address Translation in Real-Address Mode. */
export function loadReal(cpu: Processor, segment: number, selector: number): void {
  const kept = cpu.accessRights(segment) & KEPT_IN_REAL_MODE;
  cpu.setSegment(segment, selector, selector << 4, cpu.segmentLimit(segment), REAL_RIGHTS | kept);
}

/** See: SDM 21.2 Virtual-8086 Mode. */
export function loadVirtual8086(cpu: Processor, segment: number, selector: number): void {
  cpu.setSegment(segment, selector, selector << 4, 0xffff, VIRTUAL_8086_RIGHTS);
}

/** A null selector: unusable, base 0. For SS the DPL field is the privilege level. */
export function loadNull(cpu: Processor, segment: number, selector: number, dpl: number): void {
  const at = segmentOffset(segment);
  cpu.setSigned(at + SEGMENT.base, 0);
  cpu.words[(at + SEGMENT.accessRights) >> 2] = RIGHTS.unusable | (dpl << 5);
  cpu.words[(at + SEGMENT.selector) >> 2] = selector;
}

export function loadFrom(cpu: Processor, segment: number, selector: number, descriptor: Descriptor): void {
  cpu.setSegment(segment, selector, descriptor.base, descriptor.limit, descriptor.rights);
}

/** Checks a selector (not null) for ES, DS, FS or GS, and sets the accessed bit. See: SDM 5.6 Privilege Level Checking When Accessing Data Segments. */
export function checkDataSegment(
  cpu: Processor,
  selector: number,
  cpl: number,
  vector: number,
  into: Descriptor,
): boolean {
  if (!fetchDescriptor(cpu, selector, into, vector)) return false;
  const rpl = selector & 3;
  const code = selector & 0xfffc;
  const privileged = !into.conforming && (rpl > into.dpl || cpl > into.dpl);
  if (into.system || !into.readable || privileged) cpu.fault(vector, code);
  else if (!into.present) cpu.fault(VECTOR.NP, code);
  return !cpu.faulted && markAccessed(cpu, into);
}

/**
 * Checks a selector for SS at privilege level `cpl`, and sets the accessed bit. Faults with `vector` except for #SS
 * when not present. Null is for 64-bit code below level 3 only. See: SDM 5.7 Privilege Level Checking When Loading the SS Register.
 */
export function checkStackSegment(
  cpu: Processor,
  selector: number,
  cpl: number,
  vector: number,
  into: Descriptor,
): boolean {
  if (isNull(selector)) {
    if (!cpu.code64 || cpl === 3 || (selector & 3) !== cpl) cpu.fault(vector, 0);
    return !cpu.faulted;
  }
  if (!fetchDescriptor(cpu, selector, into, vector)) return false;
  const code = selector & 0xfffc;
  if ((selector & 3) !== cpl || !into.writableData || into.dpl !== cpl) cpu.fault(vector, code);
  else if (!into.present) cpu.fault(VECTOR.SS, code);
  return !cpu.faulted && markAccessed(cpu, into);
}

/** Loads CS from a checked descriptor; the selector's RPL becomes `cpl`, which becomes the privilege level. */
export function loadCode(cpu: Processor, descriptor: Descriptor, cpl: number): void {
  loadFrom(cpu, CS, (descriptor.selector & 0xfffc) | cpl, descriptor);
}

/** In IA-32e mode these descriptors are 16 bytes, with a base that must be canonical. */
function fetchWideBase(cpu: Processor, vector: number): boolean {
  if (!cpu.longMode) return true;
  if (!fetchUpperHalf(cpu, loaded, vector)) return false;
  return canonical(loaded.base) || refuse(cpu, vector, loaded.selector & 0xfffc);
}

/** LLDT: null makes LDTR unusable. Faults with `vector`; #NP when not present (#TS for task switches). */
export function loadLdtr(cpu: Processor, selector: number, vector: number = VECTOR.GP): boolean {
  const code = selector & 0xfffc;
  if (selector & 4) return refuse(cpu, vector, code);
  if (isNull(selector)) {
    loadNull(cpu, LDTR, selector, 0);
    return true;
  }
  if (!fetchDescriptor(cpu, selector, loaded, vector)) return false;
  if (!loaded.system || loaded.type !== TYPE.ldt) cpu.fault(vector, code);
  else if (!loaded.present) cpu.fault(vector === VECTOR.GP ? VECTOR.NP : vector, code);
  if (cpu.faulted || !fetchWideBase(cpu, vector)) return false;
  loadFrom(cpu, LDTR, selector, loaded);
  return true;
}

/** LTR: an available task-state segment, which becomes busy. */
export function loadTr(cpu: Processor, selector: number): boolean {
  const code = selector & 0xfffc;
  if (isNull(selector)) return refuse(cpu, VECTOR.GP, 0);
  if (selector & 4) return refuse(cpu, VECTOR.GP, code);
  if (!fetchDescriptor(cpu, selector, loaded)) return false;
  const available = loaded.type === TYPE.tss32 || (loaded.type === TYPE.tss16 && !cpu.longMode);
  if (!loaded.system || !available) cpu.generalProtection(code);
  else if (!loaded.present) cpu.fault(VECTOR.NP, code);
  if (cpu.faulted || !fetchWideBase(cpu, VECTOR.GP)) return false;
  if (!setBusy(cpu, loaded, true)) return false;
  loadFrom(cpu, TR, selector, loaded);
  return true;
}
