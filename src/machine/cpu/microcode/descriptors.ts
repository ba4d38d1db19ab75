// SPDX-License-Identifier: Apache-2.0
import type { LinearAddress, Processor } from '../processor.ts';
import { LDTR, STATE } from '../state.ts';
import { VECTOR, refuse } from './exceptions.ts';
import { implicitClass } from './implicit-access.ts';

/** Access rights as segment registers hold them. See: SDM Table 25-2 Format of Access Rights. */
// prettier-ignore
export const RIGHTS = {
  accessed: 1, writable: 2, readable: 2, expandDown: 4, conforming: 4, code: 8, codeOrData: 0x10, present: 0x80,
  long: 0x2000, big: 0x4000, granularity: 0x8000, unusable: 0x10000,
  /** S, type 5:2 of an expand-down data segment, under mask 0x1c. */
  expandDownData: 0x14,
} as const;

/** System-segment and gate types. See: SDM Table 3-2 System-Segment and Gate-Descriptor Types. */
// prettier-ignore
export const TYPE = {
  tss16: 1, ldt: 2, tss16Busy: 3, callGate16: 4, taskGate: 5, interruptGate16: 6, trapGate16: 7,
  tss32: 9, tss32Busy: 11, callGate32: 12, interruptGate32: 14, trapGate32: 15,
} as const;

const BUSY = 0x200;
const ACCESSED = 0x100;

/** A descriptor read from GDT or LDT. Instances are reused: one per role, filled by `fetchDescriptor`. */
export class Descriptor {
  selector = 0;
  address: LinearAddress = 0;
  low = 0;
  high = 0;
  /** Base bits 63:32 of 16-byte descriptors; 0 for the others. */
  baseHigh = 0;

  /** Bits 3:0 of the type. */
  get type(): number {
    return (this.high >>> 8) & 15;
  }
  /** S = 0: a system segment or a gate. */
  get system(): boolean {
    return (this.high & 0x1000) === 0;
  }
  get code(): boolean {
    return (this.high & 0x1800) === 0x1800;
  }
  get conforming(): boolean {
    return (this.high & 0x1c00) === 0x1c00;
  }
  get writableData(): boolean {
    return (this.high & 0x1a00) === 0x1200;
  }
  get readable(): boolean {
    return (this.high & 0x1800) === 0x1000 || (this.high & 0x1a00) === 0x1a00;
  }
  get dpl(): number {
    return (this.high >>> 13) & 3;
  }
  get present(): boolean {
    return (this.high & 0x8000) !== 0;
  }
  /** CS.L. */
  get long(): boolean {
    return (this.high & 0x200000) !== 0;
  }
  /** D/B. */
  get big(): boolean {
    return (this.high & 0x400000) !== 0;
  }
  /** In the VMCS layout. */
  get rights(): number {
    return (this.high >>> 8) & 0xf0ff;
  }
  get limit(): number {
    const limit = (this.low & 0xffff) | (this.high & 0xf0000);
    return this.high & 0x800000 ? ((limit << 12) | 0xfff) >>> 0 : limit;
  }
  /** A signed Number. */
  get base(): LinearAddress {
    const low = ((this.low >>> 16) | ((this.high & 0xff) << 16) | (this.high & 0xff000000)) >>> 0;
    return this.baseHigh * 0x100000000 + low;
  }
  /** A gate's target. */
  get gateSelector(): number {
    return this.low >>> 16;
  }
  /** A gate's offset, bits 31:0, and 63:32 for 16-byte gates. */
  get gateOffset(): number {
    return this.baseHigh * 0x100000000 + (((this.high & 0xffff0000) | (this.low & 0xffff)) >>> 0);
  }
}

/** Whether a selector is null; its RPL does not matter. */
export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0;
}

/**
 * Reads the 8 bytes a selector (not null) names. Outside the table: the fault `vector` with the selector.
 * Returns false when a fault was recorded.
 */
export function fetchDescriptor(
  cpu: Processor,
  selector: number,
  into: Descriptor,
  vector: number = VECTOR.GP,
): boolean {
  const inTable = descriptorAddress(cpu, selector, 8);
  if (Number.isNaN(inTable)) return refuse(cpu, vector, selector & 0xfffc);
  return readDescriptor(cpu, inTable, selector, into);
}

/** As `fetchDescriptor`, but false without a fault when the selector is null or outside its table (LAR, LSL, VERR, VERW). */
export function findDescriptor(cpu: Processor, selector: number, into: Descriptor): boolean {
  const inTable = isNull(selector) ? NaN : descriptorAddress(cpu, selector, 8);
  return !Number.isNaN(inTable) && readDescriptor(cpu, inTable, selector, into);
}

/** Reads the 8 bytes at an address of a table. */
export function readDescriptor(cpu: Processor, address: LinearAddress, selector: number, into: Descriptor): boolean {
  into.selector = selector;
  into.address = address;
  into.baseHigh = 0;
  const host = cpu.mmu.locate(address, 8, false, implicitClass(cpu));
  if (host === -1) return false;
  into.low = cpu.memory.view.getInt32(host, true);
  into.high = cpu.memory.view.getInt32(host + 4, true);
  return true;
}

/** Reads the upper half of a 16-byte descriptor, whose type field must be zero. */
export function fetchUpperHalf(cpu: Processor, into: Descriptor, vector: number = VECTOR.GP): boolean {
  if (Number.isNaN(descriptorAddress(cpu, into.selector, 16))) return refuse(cpu, vector, into.selector & 0xfffc);
  const host = cpu.mmu.locate(into.address + 8, 8, false, implicitClass(cpu));
  if (host === -1) return false;
  into.baseHigh = cpu.memory.view.getInt32(host, true);
  if ((cpu.memory.view.getInt32(host + 4, true) & 0x1f00) !== 0) cpu.fault(vector, into.selector & 0xfffc);
  return !cpu.faulted;
}

/** Linear address of a descriptor of `size` bytes, or NaN beyond its table's limit. */
function descriptorAddress(cpu: Processor, selector: number, size: number): LinearAddress {
  const index = selector & 0xfff8;
  if ((selector & 4) === 0) {
    return index + size - 1 > cpu.get32(STATE.gdtrLimit)
      ? NaN
      : tableAddress(cpu, cpu.getSigned(STATE.gdtrBase), index);
  }
  if (cpu.accessRights(LDTR) & RIGHTS.unusable || index + size - 1 > cpu.segmentLimit(LDTR)) return NaN;
  return tableAddress(cpu, cpu.segmentBase(LDTR), index);
}

/** Addresses wrap at 4 GiB outside IA-32e mode. */
export function tableAddress(cpu: Processor, base: LinearAddress, offset: number): LinearAddress {
  return cpu.longMode ? base + offset : (base + offset) >>> 0;
}

/** Sets the accessed bit in the table, if it is not set. Returns false when that faulted. */
export function markAccessed(cpu: Processor, descriptor: Descriptor): boolean {
  if (descriptor.high & ACCESSED) return true;
  descriptor.high |= ACCESSED;
  cpu.store8(descriptor.address + 5, (descriptor.high >>> 8) & 0xff, implicitClass(cpu));
  return !cpu.faulted;
}

/** Sets or clears the busy bit of a task-state segment, here and in the table. */
export function setBusy(cpu: Processor, descriptor: Descriptor, busy: boolean): boolean {
  descriptor.high = busy ? descriptor.high | BUSY : descriptor.high & ~BUSY;
  cpu.store8(descriptor.address + 5, (descriptor.high >>> 8) & 0xff, implicitClass(cpu));
  return !cpu.faulted;
}
