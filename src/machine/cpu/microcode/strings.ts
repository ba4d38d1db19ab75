// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { ES, FS, RAX, RCX, RDI, RSI, STATE } from '../state.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { segmentLinear } from './effective-address.ts';

/**
 * MOVS CMPS STOS LODS SCAS. An iteration commits whole and counts as one instruction; a repeat that the budget or a
 * wish for attention cuts short leaves RIP at the instruction. Where nothing can be observed in between, a run of
 * iterations within one page is done at once.
 */
interface StringStep {
  readonly cpu: Processor;
  readonly bytes: number;
  readonly addressSize: number;
  /** Segment of the source. */
  readonly segment: number;
  /** +bytes or -bytes. */
  readonly stride: number;
}

/** Does one iteration: false when it faulted. Index registers are advanced by the caller. */
type Iteration = (step: StringStep) => boolean;
/** Does up to `count` iterations at once; returns how many, 0 when it cannot. Advances nothing. */
type Bulk = (step: StringStep, count: number) => number;

interface StringOperation {
  readonly usesSource: boolean;
  readonly usesDestination: boolean;
  readonly iteration: Iteration;
  readonly bulk?: Bulk;
  /** For REPE and REPNE: the flags decide whether to go on. */
  readonly compares?: boolean;
}

function indexValue(cpu: Processor, register: number, addressSize: number): number {
  if (addressSize === 64) return cpu.getSigned(register * 8);
  return addressSize === 32 ? cpu.reg32(register) : cpu.reg16(register);
}

/** Adds a small signed number to a 64-bit register. */
function advance64(cpu: Processor, register: number, by: number): void {
  const { words } = cpu;
  const low = (words[register * 2] >>> 0) + by;
  words[register * 2] = low;
  words[register * 2 + 1] += Math.floor(low / 0x100000000);
}

function advance(cpu: Processor, register: number, addressSize: number, by: number): void {
  if (addressSize === 64) advance64(cpu, register, by);
  else if (addressSize === 32) cpu.setReg32(register, cpu.reg32(register) + by);
  else cpu.setReg16(register, cpu.reg16(register) + by);
}

function address(step: StringStep, segment: number, register: number, write: boolean): LinearAddress {
  const { cpu, addressSize } = step;
  if (addressSize === 64 && segment < FS) {
    const high = cpu.words[register * 2 + 1] >> 15;
    if (high === 0 || high === -1) return cpu.getSigned(register * 8);
    cpu.generalProtection();
    return NaN;
  }
  return segmentLinear(cpu, segment, indexValue(cpu, register, addressSize), step.bytes, write);
}

const source = (step: StringStep): LinearAddress => address(step, step.segment, RSI, false);
const destination = (step: StringStep, write: boolean): LinearAddress => address(step, ES, RDI, write);

/** An element as halves: `low` unsigned, and for 8 bytes `high`. */
const element = { low: 0, high: 0 };

function load(step: StringStep, at: LinearAddress): boolean {
  const { cpu, bytes } = step;
  if (cpu.faulted) return false;
  const host = cpu.mmu.locate(at, bytes, false, cpu.dataClass);
  if (host === -1) return false;
  const { view } = cpu.memory;
  element.low =
    bytes === 1 ? cpu.memory.u8[host] : bytes === 2 ? view.getUint16(host, true) : view.getUint32(host, true);
  element.high = bytes === 8 ? view.getUint32(host + 4, true) : 0;
  return true;
}

function store(step: StringStep, at: LinearAddress, low: number, high: number): boolean {
  const { cpu, bytes } = step;
  if (cpu.faulted) return false;
  const host = cpu.mmu.locate(at, bytes, true, cpu.dataClass);
  if (host === -1) return false;
  const { view } = cpu.memory;
  if (bytes === 1) view.setUint8(host, low);
  else if (bytes === 2) view.setUint16(host, low, true);
  else view.setUint32(host, low, true);
  if (bytes === 8) view.setUint32(host + 4, high, true);
  cpu.mmu.finishStore();
  return true;
}

/** A 64-bit compare of halves sets the flags of left - right. */
function compareFlags(
  cpu: Processor,
  bytes: number,
  leftLow: number,
  leftHigh: number,
  rightLow: number,
  rightHigh: number,
): void {
  const left = (BigInt(leftHigh >>> 0) << 32n) | BigInt(leftLow >>> 0);
  const right = (BigInt(rightHigh >>> 0) << 32n) | BigInt(rightLow >>> 0);
  const bits = bytes * 8;
  const result = BigInt.asUintN(bits, left - right);
  const borrow = (~left & right) | ((~left | right) & result);
  const top = BigInt(bits - 1);
  cpu.quads[STATE.flagResult >> 3] = BigInt.asUintN(64, BigInt.asIntN(bits, result));
  cpu.words[STATE.flagCarry >> 2] =
    (Number((borrow >> top) & 1n) << 31) | (Number((borrow >> (top - 1n)) & 1n) << 30) | Number(borrow & 8n);
}

function move(step: StringStep): boolean {
  const from = source(step);
  const to = destination(step, true);
  return load(step, from) && store(step, to, element.low, element.high);
}

function storeString(step: StringStep): boolean {
  const { words } = step.cpu;
  return store(step, destination(step, true), words[RAX * 2], words[RAX * 2 + 1]);
}

function loadString(step: StringStep): boolean {
  const { cpu, bytes } = step;
  if (!load(step, source(step))) return false;
  if (bytes === 1) cpu.view.setUint8(RAX * 8, element.low);
  else if (bytes === 2) cpu.setReg16(RAX, element.low);
  else {
    cpu.words[RAX * 2] = element.low;
    cpu.words[RAX * 2 + 1] = element.high;
  }
  return true;
}

function compare(step: StringStep): boolean {
  const from = source(step);
  const to = destination(step, false);
  if (!load(step, from)) return false;
  const { low, high } = element;
  if (!load(step, to)) return false;
  compareFlags(step.cpu, step.bytes, low, high, element.low, element.high);
  return true;
}

function scan(step: StringStep): boolean {
  const { cpu, bytes } = step;
  if (!load(step, destination(step, false))) return false;
  const mask = bytes === 1 ? 0xff : bytes === 2 ? 0xffff : 0xffffffff;
  compareFlags(
    cpu,
    bytes,
    cpu.words[RAX * 2] & mask,
    bytes === 8 ? cpu.words[RAX * 2 + 1] : 0,
    element.low,
    element.high,
  );
  return true;
}

/** Iterations from `at` that stay within its page, in the direction of DF. */
function inPage(step: StringStep, at: LinearAddress, count: number): number {
  const offset = at & 0xfff;
  if (step.stride > 0) return Math.min(count, Math.floor((0x1000 - offset) / step.bytes));
  return offset + step.bytes > 0x1000 ? 0 : Math.min(count, Math.floor(offset / step.bytes) + 1);
}

/** Only where segments check nothing: 64-bit addresses; the rest is not worth it. */
function bulkPossible(step: StringStep): boolean {
  return step.addressSize === 64;
}

/** Whether copying element by element would read what it wrote: then it repeats a pattern, and is no plain copy. */
function repeatsItself(step: StringStep, from: number, to: number, length: number): boolean {
  return step.stride > 0 ? to > from && to < from + length : to < from && to > from - length;
}

function bulkMove(step: StringStep, count: number): number {
  const { cpu } = step;
  const from = source(step);
  const to = destination(step, true);
  if (cpu.faulted) return 0;
  const n = inPage(step, to, inPage(step, from, count));
  if (n < 2) return 0;
  const fromHost = cpu.mmu.reach(from, false, cpu.dataClass);
  if (cpu.faulted || fromHost === -1) return 0;
  const toHost = cpu.mmu.reach(to, true, cpu.dataClass);
  const length = n * step.bytes;
  if (cpu.faulted || toHost === -1 || repeatsItself(step, fromHost, toHost, length)) return 0;
  const back = step.stride > 0 ? 0 : length - step.bytes;
  cpu.memory.noteWrite(toHost - back, length);
  cpu.memory.u8.copyWithin(toHost - back, fromHost - back, fromHost - back + length);
  return n;
}

function bulkStore(step: StringStep, count: number): number {
  const { cpu, bytes } = step;
  const to = destination(step, true);
  if (cpu.faulted) return 0;
  const n = inPage(step, to, count);
  if (n < 2) return 0;
  const host = cpu.mmu.reach(to, true, cpu.dataClass);
  if (cpu.faulted || host === -1) return 0;
  const first = step.stride > 0 ? host : host - (n - 1) * bytes;
  cpu.memory.noteWrite(first, n * bytes);
  fill(cpu, first, n, bytes);
  return n;
}

function fill(cpu: Processor, host: number, count: number, bytes: number): void {
  const { u8 } = cpu.memory;
  const first = cpu.bytes[RAX * 8];
  let uniform = true;
  for (let i = 1; i < bytes; i++) uniform &&= cpu.bytes[RAX * 8 + i] === first;
  if (uniform) return void u8.fill(first, host, host + count * bytes);
  for (let i = 0; i < bytes; i++) u8[host + i] = cpu.bytes[RAX * 8 + i];
  for (let done = bytes; done < count * bytes; done *= 2)
    u8.copyWithin(host + done, host, host + Math.min(done, count * bytes - done));
}

function stepOf(cpu: Processor, instruction: Instruction): StringStep {
  let bytes = 1;
  for (let i = 0; i < instruction.operandCount; i++) {
    const { kind, size } = instruction.operands[i];
    if (kind === OperandKind.STRING_SOURCE || kind === OperandKind.STRING_DESTINATION) bytes = size / 8;
  }
  const down = (cpu.words[STATE.flagsOther >> 2] & RFLAGS.DF) !== 0;
  return {
    cpu,
    bytes,
    addressSize: instruction.addressSize,
    segment: instruction.memory.segment,
    stride: down ? -bytes : bytes,
  };
}

function advanceIndices(step: StringStep, operation: StringOperation, iterations: number): void {
  const { cpu, addressSize, stride } = step;
  if (operation.usesSource) advance(cpu, RSI, addressSize, stride * iterations);
  if (operation.usesDestination) advance(cpu, RDI, addressSize, stride * iterations);
}

function once(step: StringStep, operation: StringOperation): number {
  if (!operation.iteration(step)) return STATUS.fault;
  advanceIndices(step, operation, 1);
  return STATUS.next;
}

/** Iterations that may still be done now: the budget, of which this instruction has taken one already. */
function allowance(cpu: Processor): number {
  return cpu.words[STATE.remaining >> 2] + 1;
}

function repeat(step: StringStep, operation: StringOperation, instruction: Instruction): number {
  const { cpu, addressSize } = step;
  let done = 0;
  let finished = indexValue(cpu, RCX, addressSize) === 0;
  let status: number = STATUS.next;
  const limit = finished ? 0 : allowance(cpu);
  while (!finished && done < limit) {
    const left = indexValue(cpu, RCX, addressSize);
    const wanted = left < 0 ? limit - done : Math.min(left, limit - done);
    let n = operation.bulk !== undefined && bulkPossible(step) ? operation.bulk(step, wanted) : 0;
    if (n === 0 && !cpu.faulted && operation.iteration(step)) n = 1;
    if (cpu.faulted) {
      status = STATUS.fault;
      break;
    }
    advanceIndices(step, operation, n);
    advance(cpu, RCX, addressSize, -n);
    done += n;
    finished = left === n || (operation.compares === true && !goesOn(cpu, instruction));
    if (cpu.words[STATE.attention >> 2] !== 0) break;
  }
  cpu.words[STATE.remaining >> 2] -= status === STATUS.fault ? done : Math.max(0, done - 1);
  if (!finished && status === STATUS.next) cpu.rip = cpu.rip - instruction.length;
  return status;
}

function goesOn(cpu: Processor, instruction: Instruction): boolean {
  const zero = (cpu.arithmeticFlags & RFLAGS.ZF) !== 0;
  return instruction.rep === 0xf3 ? zero : !zero;
}

export function stringMicrocode(operation: StringOperation): Microcode {
  return (cpu, instruction) => {
    const step = stepOf(cpu, instruction);
    return instruction.rep === 0 ? once(step, operation) : repeat(step, operation, instruction);
  };
}

export const STRING_MICROCODE: MicrocodeRoutines = {
  MOVS: stringMicrocode({ usesSource: true, usesDestination: true, iteration: move, bulk: bulkMove }),
  STOS: stringMicrocode({ usesSource: false, usesDestination: true, iteration: storeString, bulk: bulkStore }),
  LODS: stringMicrocode({ usesSource: true, usesDestination: false, iteration: loadString }),
  CMPS: stringMicrocode({ usesSource: true, usesDestination: true, iteration: compare, compares: true }),
  SCAS: stringMicrocode({ usesSource: false, usesDestination: true, iteration: scan, compares: true }),
};

export type { StringStep };
export { destination, source };
