// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RAX, RCX, RDI, RSI, STATE } from '../state.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { moveRun, storeRun } from './string-bulk.ts';
import { destination, indexValue, source, stepOf } from './string-step.ts';
import type { StringStep } from './string-step.ts';

/**
 * MOVS CMPS STOS LODS SCAS. An iteration commits whole and counts as one instruction; a repeat that the budget or a
 * wish for attention cuts short leaves RIP at the instruction. Where nothing can be observed in between, runs of
 * iterations are done at once.
 */
/** Does one iteration: false when it faulted. Index registers are advanced by the caller. */
type Iteration = (step: StringStep) => boolean;
/** Does up to `count` iterations at once; returns how many, fewer when something is in the way. Advances nothing. */
type Bulk = (step: StringStep, count: number) => number;

interface StringOperation {
  readonly usesSource: boolean;
  readonly usesDestination: boolean;
  readonly iteration: Iteration;
  readonly bulk?: Bulk;
  /** For REPE and REPNE: the flags decide whether to go on. */
  readonly compares?: boolean;
}

/** Iterations at once: their bytes are a 32-bit number. */
const LONGEST_RUN = 1 << 24;

/** Adds a signed 32-bit number to a 64-bit register, in 32-bit arithmetic. */
function advance64(cpu: Processor, register: number, by: number): void {
  const { words } = cpu;
  const before = words[register * 2];
  const after = (before + by) | 0;
  words[register * 2] = after;
  if (by >= 0) {
    if (after >>> 0 < before >>> 0) words[register * 2 + 1]++;
  } else if (after >>> 0 > before >>> 0) words[register * 2 + 1]--;
}

function advance(cpu: Processor, register: number, addressSize: number, by: number): void {
  if (addressSize === 64) advance64(cpu, register, by);
  else if (addressSize === 32) cpu.setReg32(register, cpu.reg32(register) + by);
  else cpu.setReg16(register, cpu.reg16(register) + by);
}

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

/** As in `compare`, a fault of the source comes before all of the destination's. */
function move(step: StringStep): boolean {
  return load(step, source(step)) && store(step, destination(step, true), element.low, element.high);
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

/** The source is read before the destination's address is even looked at. */
function compare(step: StringStep): boolean {
  if (!load(step, source(step))) return false;
  const { low, high } = element;
  if (!load(step, destination(step, false))) return false;
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

/** Only where segments check nothing: 64-bit addresses; the rest is not worth it. */
function bulkPossible(step: StringStep): boolean {
  return step.addressSize === 64;
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
    const wanted = Math.min(left < 0 ? LONGEST_RUN : left, limit - done, LONGEST_RUN);
    let n = operation.bulk !== undefined && bulkPossible(step) ? operation.bulk(step, wanted) : 0;
    if (n === 0 && !cpu.faulted && operation.iteration(step)) n = 1;
    if (n !== 0) {
      advanceIndices(step, operation, n);
      advance(cpu, RCX, addressSize, -n);
      done += n;
    }
    if (cpu.faulted) {
      status = STATUS.fault;
      break;
    }
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
  MOVS: stringMicrocode({ usesSource: true, usesDestination: true, iteration: move, bulk: moveRun }),
  STOS: stringMicrocode({ usesSource: false, usesDestination: true, iteration: storeString, bulk: storeRun }),
  LODS: stringMicrocode({ usesSource: true, usesDestination: false, iteration: loadString }),
  CMPS: stringMicrocode({ usesSource: true, usesDestination: true, iteration: compare, compares: true }),
  SCAS: stringMicrocode({ usesSource: false, usesDestination: true, iteration: scan, compares: true }),
};
