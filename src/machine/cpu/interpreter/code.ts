// SPDX-License-Identifier: Apache-2.0
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { SimdName } from '../../wasm/opcodes.ts';
import { F32, F64, I32, I64, V128 } from '../../wasm/encoder.ts';
import type { FunctionCode, ValueType } from '../../wasm/encoder.ts';
import type { Type } from '../operations/graph.ts';

const VOID = 0x40;

/** A position to branch to: the nesting depth at which its block was opened. */
export type Label = number & { readonly __label?: true };

export function wasmType(type: Type): ValueType {
  if (type === 'i64') return I64;
  if (type === 'v128') return V128;
  if (type === 'f32') return F32;
  return type === 'f64' ? F64 : I32;
}

/** Function code with structured control whose branches name labels, and locals that are given back. */
export class Code {
  readonly out: FunctionCode;
  private depth = 0;
  private readonly free = new Map<ValueType, number[]>();
  private readonly taken: { type: ValueType; index: number }[] = [];

  constructor(out: FunctionCode) {
    this.out = out;
  }

  op(...opcodes: number[]): this {
    for (const opcode of opcodes) this.out.byte(opcode);
    return this;
  }
  simd(name: SimdName): this {
    this.out.byte(OP.prefix_fd).unsigned(SIMD[name]);
    return this;
  }
  i32(value: number): this {
    this.out.byte(OP.i32_const).signed32(value);
    return this;
  }
  i64(value: bigint): this {
    this.out.byte(OP.i64_const).signed64(value);
    return this;
  }
  get(local: number): this {
    this.out.byte(OP.local_get).unsigned(local);
    return this;
  }
  set(local: number): this {
    this.out.byte(OP.local_set).unsigned(local);
    return this;
  }
  tee(local: number): this {
    this.out.byte(OP.local_tee).unsigned(local);
    return this;
  }
  /** A load or store opcode (two bytes: prefix << 8 | opcode) with its static offset; alignment hint 0: guests do as they like. */
  memory(opcode: number, offset: number): this {
    if (opcode > 0xff) this.out.byte(opcode >> 8);
    this.out
      .byte(opcode & 0xff)
      .unsigned(0)
      .unsigned(offset);
    return this;
  }
  call(index: number): this {
    this.out.byte(OP.call).unsigned(index);
    return this;
  }
  callIndirect(type: number): this {
    this.out.byte(OP.call_indirect).unsigned(type).unsigned(0);
    return this;
  }

  returnCallIndirect(type: number): this {
    this.out.byte(OP.return_call_indirect).unsigned(type).unsigned(0);
    return this;
  }

  block(): Label {
    this.out.byte(OP.block).byte(VOID);
    return ++this.depth;
  }
  loop(): Label {
    this.out.byte(OP.loop).byte(VOID);
    return ++this.depth;
  }
  if(result?: ValueType): Label {
    this.out.byte(OP.if).byte(result ?? VOID);
    return ++this.depth;
  }
  /** `if` around what `body` emits. */
  if_(body: () => unknown): this {
    this.if();
    body();
    return this.end();
  }
  else(): this {
    return this.op(OP.else);
  }
  end(): this {
    this.depth--;
    return this.op(OP.end);
  }
  br(label: Label): this {
    this.out.byte(OP.br).unsigned(this.depth - label);
    return this;
  }
  brIf(label: Label): this {
    this.out.byte(OP.br_if).unsigned(this.depth - label);
    return this;
  }
  brTable(labels: readonly Label[], fallback: Label): this {
    this.out.byte(OP.br_table).unsigned(labels.length);
    for (const label of labels) this.out.unsigned(this.depth - label);
    this.out.unsigned(this.depth - fallback);
    return this;
  }

  /** A temporary local; all are given back together by `releaseLocals`. */
  temporary(type: ValueType): number {
    const index = this.free.get(type)?.pop() ?? this.out.local(type);
    this.taken.push({ type, index });
    return index;
  }
  /** Those taken so far are for good. */
  keepLocals(): void {
    this.taken.length = 0;
  }
  releaseLocals(): void {
    for (const { type, index } of this.taken.splice(0)) {
      const list = this.free.get(type) ?? [];
      list.push(index);
      this.free.set(type, list);
    }
  }
}
