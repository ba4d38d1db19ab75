// SPDX-License-Identifier: Apache-2.0
import { I64 } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Code } from '../interpreter/code.ts';
import type { Type } from '../operations/graph.ts';
import { STATE } from '../state.ts';

const COUNT = 16;

/** The general registers of a region, in locals of 64 bits: loaded where it begins, written back where it is left. */
export class Registers {
  private readonly code: Code;
  private readonly area: number;
  private readonly locals: number[] = [];
  private readonly touched: ReadonlySet<number>;
  private readonly written: ReadonlySet<number>;

  /** `touched` and `written`: numbers of registers; the first holds all of the second. */
  constructor(code: Code, area: number, touched: ReadonlySet<number>, written: ReadonlySet<number>) {
    this.code = code;
    this.area = area;
    this.touched = touched;
    this.written = written;
    for (const register of touched) this.locals[register] = code.temporary(I64);
    code.keepLocals();
  }

  /** Whether an offset in the state block is (a byte of) a general register. */
  static holds(offset: number): boolean {
    return offset >= STATE.general && offset < STATE.general + COUNT * 8;
  }

  load(): void {
    for (const register of this.touched)
      this.code
        .get(this.area)
        .memory(OP.i64_load, STATE.general + register * 8)
        .set(this.locals[register]);
  }
  store(): void {
    for (const register of this.written)
      this.code
        .get(this.area)
        .get(this.locals[register])
        .memory(OP.i64_store, STATE.general + register * 8);
  }

  /** Pushes the register, or its part, at an offset of the state block. */
  push(offset: number, type: Type): void {
    const { code } = this;
    code.get(this.locals[offset >> 3]);
    if (type === 'i64') return;
    if (offset & 7) code.i64(BigInt((offset & 7) * 8)).op(OP.i64_shr_u);
    code.op(OP.i32_wrap_i64);
    if (type === 'i8') code.i32(0xff).op(OP.i32_and);
    if (type === 'i16') code.i32(0xffff).op(OP.i32_and);
  }

  /** Writes what `value` pushes: 32 bits are zero-extended, less than that leaves the rest alone. */
  write(offset: number, type: Type, value: () => void): void {
    const { code } = this;
    const local = this.locals[offset >> 3];
    if (type === 'i64') {
      value();
      code.set(local);
      return;
    }
    if (type === 'i32') {
      value();
      code.op(OP.i64_extend_i32_u).set(local);
      return;
    }
    const shift = (offset & 7) * 8;
    const mask = (type === 'i8' ? 0xffn : 0xffffn) << BigInt(shift);
    code.get(local).i64(~mask).op(OP.i64_and);
    value();
    code.op(OP.i64_extend_i32_u);
    if (shift > 0) code.i64(BigInt(shift)).op(OP.i64_shl);
    code.op(OP.i64_or).set(local);
  }
}
