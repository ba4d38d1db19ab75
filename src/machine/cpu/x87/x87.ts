// SPDX-License-Identifier: Apache-2.0
import { BEFORE_COMPUTATION, EXCEPTION, FloatEnvironment } from '../softfloat/environment.ts';
import { EXTENDED80, INDEFINITE, packSpecial, unpack } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { STATE } from '../state.ts';
import { FCW, FSW, PRECISIONS, TAG, TOP_SHIFT, tagOf } from './registers.ts';

const LOW_64 = 0xffff_ffff_ffff_ffffn;
export const INDEFINITE_BITS: bigint = packSpecial(EXTENDED80, INDEFINITE);

/** The x87 unit of one processor, over its state block. The tag word is kept abridged as FXSAVE has it: a set bit means not empty. */
export class X87 {
  readonly #view: DataView;
  readonly #base: number;
  readonly env: FloatEnvironment = new FloatEnvironment('larger-significand');

  /** `base` is the offset of the state block in `buffer`. */
  constructor(buffer: ArrayBufferLike, base: number) {
    this.#view = new DataView(buffer);
    this.#base = base;
  }

  get fcw(): number {
    return this.#view.getUint16(this.#base + STATE.fcw, true);
  }

  /** Writing it may unmask an exception whose flag is set, or mask the last one. */
  set fcw(value: number) {
    this.#view.setUint32(this.#base + STATE.fcw, (value & FCW.writable) | FCW.fixed, true);
    this.summarize();
  }

  get fsw(): number {
    return this.#view.getUint16(this.#base + STATE.fsw, true);
  }

  set fsw(value: number) {
    this.#view.setUint32(this.#base + STATE.fsw, value & 0xffff, true);
  }

  /** Abridged: bit n is physical register n. */
  get ftw(): number {
    return this.#view.getUint8(this.#base + STATE.ftw);
  }

  set ftw(value: number) {
    this.#view.setUint32(this.#base + STATE.ftw, value & 0xff, true);
  }

  get top(): number {
    return (this.fsw & FSW.top) >> TOP_SHIFT;
  }

  set top(value: number) {
    this.fsw = (this.fsw & ~FSW.top) | ((value & 7) << TOP_SHIFT);
  }

  /** 80 bits of a register by physical number. */
  physical(register: number): bigint {
    const offset = this.#base + STATE.x87 + register * 16;
    return (BigInt(this.#view.getUint16(offset + 8, true)) << 64n) | this.#view.getBigUint64(offset, true);
  }

  setPhysical(register: number, bits: bigint): void {
    const offset = this.#base + STATE.x87 + register * 16;
    this.#view.setBigUint64(offset, bits & LOW_64, true);
    this.#view.setBigUint64(offset + 8, bits >> 64n, true);
  }

  #number(i: number): number {
    return (this.top + i) & 7;
  }

  isEmpty(i: number): boolean {
    return (this.ftw & (1 << this.#number(i))) === 0;
  }

  /** The 80 bits of ST(i). */
  bits(i: number): bigint {
    return this.physical(this.#number(i));
  }

  value(i: number): Unpacked {
    return unpack(this.bits(i), EXTENDED80);
  }

  /** Writes ST(i), which is then not empty. */
  set(i: number, bits: bigint): void {
    const register = this.#number(i);
    this.setPhysical(register, bits);
    this.ftw |= 1 << register;
  }

  free(i: number): void {
    this.ftw &= ~(1 << this.#number(i));
  }

  /** Pushes without looking whether the register is free. */
  push(bits: bigint): void {
    this.top -= 1;
    this.set(0, bits);
  }

  pop(count = 1): void {
    for (let n = 0; n < count; n++) {
      this.free(0);
      this.top += 1;
    }
  }

  /** The full tag word: two bits for each physical register. */
  get fullTags(): number {
    let tags = 0;
    for (let n = 0; n < 8; n++) {
      const tag = (this.ftw & (1 << n)) === 0 ? TAG.empty : tagOf(this.physical(n));
      tags |= tag << (2 * n);
    }
    return tags;
  }

  set fullTags(tags: number) {
    let abridged = 0;
    for (let n = 0; n < 8; n++) if (((tags >> (2 * n)) & 3) !== TAG.empty) abridged |= 1 << n;
    this.ftw = abridged;
  }

  initialize(): void {
    this.fsw = 0;
    this.fcw = FCW.initial;
    this.ftw = 0;
    this.recordInstruction(0, 0n, 0);
    this.recordData(0, 0n);
  }

  /** The address and opcode (11 bits) of the last instruction that was not a control instruction. */
  recordInstruction(selector: number, offset: bigint, opcode: number): void {
    this.#view.setUint32(this.#base + STATE.fcs, selector, true);
    this.#view.setBigUint64(this.#base + STATE.fip, BigInt.asUintN(64, offset), true);
    this.#view.setUint32(this.#base + STATE.fop, opcode & 0x7ff, true);
  }

  /** The address of its memory operand, if it had one. */
  recordData(selector: number, offset: bigint): void {
    this.#view.setUint32(this.#base + STATE.fds, selector, true);
    this.#view.setBigUint64(this.#base + STATE.fdp, BigInt.asUintN(64, offset), true);
  }

  get pointers(): { fcs: number; fip: bigint; fop: number; fds: number; fdp: bigint } {
    return {
      fcs: this.#view.getUint16(this.#base + STATE.fcs, true),
      fip: this.#view.getBigUint64(this.#base + STATE.fip, true),
      fop: this.#view.getUint16(this.#base + STATE.fop, true),
      fds: this.#view.getUint16(this.#base + STATE.fds, true),
      fdp: this.#view.getBigUint64(this.#base + STATE.fdp, true),
    };
  }

  /** Sets ES and B by flags and masks. See: SDM 8.3.1 x87 FPU Exception Handling Mechanisms. */
  summarize(): void {
    const pending = (this.fsw & ~this.fcw & FSW.exceptions) !== 0;
    this.fsw = pending ? this.fsw | FSW.summary | FSW.busy : this.fsw & ~(FSW.summary | FSW.busy);
  }

  /** Whether a waiting instruction has to raise #MF (or, with CR0.NE clear, signal FERR#) before it does anything. */
  pendingException(): boolean {
    return (this.fsw & FSW.summary) !== 0;
  }

  setConditions(conditions: number): void {
    this.fsw = (this.fsw & ~FSW.conditions) | conditions;
  }

  setC1(set: boolean): void {
    this.fsw = set ? this.fsw | FSW.c1 : this.fsw & ~FSW.c1;
  }

  /** Prepares `env`. Only the five basic operations are rounded by precision control. See: SDM 8.1.5.2 Precision Control Field. */
  begin(precisionControlled = false): FloatEnvironment {
    const { env, fcw } = this;
    env.flags = 0;
    env.roundedUp = false;
    env.rounding = (fcw & FCW.rounding) >> 10;
    env.masks = fcw & FCW.masks;
    env.precision = precisionControlled ? PRECISIONS[(fcw & FCW.precision) >> 8] : 64;
    return env;
  }

  /**
   * Makes the exceptions in `env` those of the instruction. False if an unmasked one keeps the result from being written (and the stack
   * from moving): one found before computation, and for memory overflow and underflow too. See: SDM 8.5 x87 FPU Floating-Point Exception Conditions.
   */
  finish(toMemory = false): boolean {
    const { env } = this;
    const early = env.flags & ~env.masks & BEFORE_COMPUTATION;
    const late = toMemory ? env.flags & ~env.masks & (EXCEPTION.overflow | EXCEPTION.underflow) : 0;
    const prevented = early !== 0 || late !== 0;
    // What is not written was not rounded either.
    const flags =
      early !== 0 ? env.flags & BEFORE_COMPUTATION : late !== 0 ? env.flags & ~EXCEPTION.inexact : env.flags;
    this.setC1(env.roundedUp && !prevented);
    this.fsw |= flags;
    if ((flags & ~env.masks) !== 0) this.fsw |= FSW.summary | FSW.busy;
    return !prevented;
  }

  /** Stack overflow or underflow, an invalid operation. True if it is masked: the instruction then goes on with the indefinite. */
  stackFault(overflow: boolean): boolean {
    this.fsw |= EXCEPTION.invalid | FSW.stackFault;
    this.setC1(overflow);
    const masked = (this.fcw & EXCEPTION.invalid) !== 0;
    if (!masked) this.fsw |= FSW.summary | FSW.busy;
    return masked;
  }
}
