// SPDX-License-Identifier: Apache-2.0
import { CLASS } from '../../mmu/walk.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RSP, SS } from '../state.ts';
import { RIGHTS } from './descriptors.ts';
import type { Descriptor } from './descriptors.ts';
import { alignmentFault, canonical, insideLimit } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import { dataClassAt } from './implicit-access.ts';

/**
 * Several values to be pushed at once: all places are checked and probed before the first is written, on the current
 * stack or on one that is about to become current. Used by gates, far calls and task switches.
 */
export class StackFrame {
  /** Where the stack pointer is once `store` has returned true. */
  pointer = 0;
  private base = 0;
  private limit = 0;
  private rights = 0;
  private accessClass = 0;
  /** The error code of #SS when there is no room. */
  private faultCode = 0;
  private flat64 = false;
  private count = 0;
  private readonly low = new Int32Array(48);
  private readonly high = new Int32Array(48);
  private readonly places = new Float64Array(48);

  /** On the stack of SS:rSP. */
  onCurrent(cpu: Processor): this {
    const rights = cpu.accessRights(SS);
    const pointer = cpu.code64 ? cpu.getSigned(RSP * 8) : rights & RIGHTS.big ? cpu.reg32(RSP) : cpu.reg16(RSP);
    return this.on(
      cpu.segmentBase(SS),
      cpu.segmentLimit(SS),
      rights,
      pointer,
      dataClassAt(cpu, cpu.cpl),
      0,
      cpu.code64,
    );
  }

  /** On a stack whose descriptor was checked, at privilege level `cpl`. */
  onNew(cpu: Processor, descriptor: Descriptor, pointer: number, cpl: number): this {
    const { rights } = descriptor;
    const cut = rights & RIGHTS.big ? pointer : pointer & 0xffff;
    return this.on(
      descriptor.base,
      descriptor.limit,
      rights,
      cut,
      dataClassAt(cpu, cpl),
      descriptor.selector & 0xfffc,
      false,
    );
  }

  /** On a stack of 64-bit mode, which has no segment. */
  onNew64(cpu: Processor, pointer: number, cpl: number): this {
    return this.on(0, 0, 0, pointer, dataClassAt(cpu, cpl), 0, true);
  }

  /** A selector, flags, an instruction pointer: exact as a signed Number. */
  push(value: number): void {
    this.pushHalves(value | 0, Math.floor(value / 0x100000000));
  }
  /** Any 64 bits. */
  pushHalves(low: number, high: number): void {
    this.low[this.count] = low;
    this.high[this.count++] = high;
  }
  /** A general register, whole. */
  pushRegister(cpu: Processor, register: number): void {
    this.pushHalves(cpu.words[register * 2], cpu.words[register * 2 + 1]);
  }

  /** Writes the values pushed since the last `store`, `size` bytes apart, or records the fault and writes none of them. */
  store(cpu: Processor, size: number, written = size): boolean {
    let pointer = this.pointer;
    for (let i = 0; i < this.count; i++) {
      pointer = this.wrap(pointer - size);
      this.places[i] = this.probe(cpu, pointer, size);
      if (cpu.faulted) return false;
    }
    for (let i = 0; i < this.count; i++) this.write(cpu, this.places[i], written, i);
    this.pointer = pointer;
    this.count = 0;
    return true;
  }

  /** Linear address of a value at this offset, or the fault that its push would make is recorded. */
  probe(cpu: Processor, pointer: number, size: number): LinearAddress {
    const linear = this.linear(cpu, pointer, size);
    const fails = cpu.faulted || (this.accessClass === CLASS.user && alignmentFault(cpu, linear, size));
    if (!fails) cpu.probeWrite(linear, size, this.accessClass);
    return linear;
  }

  private on(
    base: number,
    limit: number,
    rights: number,
    pointer: number,
    accessClass: number,
    faultCode: number,
    flat64: boolean,
  ): this {
    this.base = base;
    this.limit = limit;
    this.rights = rights;
    this.pointer = pointer;
    this.accessClass = accessClass;
    this.faultCode = faultCode;
    this.flat64 = flat64;
    this.count = 0;
    return this;
  }

  private wrap(pointer: number): number {
    if (this.flat64) return pointer;
    return this.rights & RIGHTS.big ? pointer >>> 0 : pointer & 0xffff;
  }

  private linear(cpu: Processor, pointer: number, size: number): LinearAddress {
    const room = this.flat64
      ? canonical(pointer) && canonical(pointer + size - 1)
      : (this.rights & RIGHTS.unusable) === 0 && insideLimit(this.rights, this.limit, pointer, size);
    if (!room) cpu.fault(VECTOR.SS, this.faultCode);
    return this.flat64 ? pointer : (this.base + pointer) >>> 0;
  }

  private write(cpu: Processor, place: LinearAddress, size: number, i: number): void {
    const host = cpu.mmu.locate(place, size, true, this.accessClass);
    const { view } = cpu.memory;
    if (size === 2) view.setUint16(host, this.low[i], true);
    else view.setInt32(host, this.low[i], true);
    if (size === 8) view.setInt32(host + 4, this.high[i], true);
    cpu.mmu.finishStore();
  }
}

/** rSP as wide as the stack is: 64 bits in 64-bit code, else by SS.B, as it is after the new SS and CS were loaded. */
export function setStackPointer(cpu: Processor, value: number): void {
  if (cpu.code64) cpu.setSigned(RSP * 8, value);
  else if (cpu.accessRights(SS) & RIGHTS.big) cpu.setReg32(RSP, value);
  else cpu.setReg16(RSP, value);
}
