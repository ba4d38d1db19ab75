// SPDX-License-Identifier: Apache-2.0
import { OP } from '../../wasm/opcodes.ts';
import type { Code } from '../interpreter/code.ts';
import type { FlagsUpdate, Node } from '../operations/graph.ts';

/**
 * Arithmetic flags in a region: a kind and two 64-bit values, from which flags are worked out when somebody asks.
 * pair: the interpreter's own, result and carry vector. logic: the result, sign-extended. sub and add, by width: the
 * operands, zero-extended.
 */
export const FLAGS = { pair: 0, logic: 1, sub: 4, add: 8 } as const;
/** One of FLAGS; sub and add plus log2(bytes). */
export type FlagKind = number;
export const KINDS: readonly FlagKind[] = [0, 1, 4, 5, 6, 7, 8, 9, 10, 11];

export const isSub = (kind: FlagKind): boolean => kind >= FLAGS.sub && kind < FLAGS.add;
export const isAdd = (kind: FlagKind): boolean => kind >= FLAGS.add;
export const widthOf = (kind: FlagKind): number => 8 << (kind & 3);

const WIDTH_LOG: Partial<Record<string, number>> = { i8: 0, i16: 1, i32: 2, i64: 3 };

function isConstantZero(node: Node): boolean {
  return node.op === 'const' && node.value === 0n;
}

/** Whether the result is a + b or a - b and nothing else (ADC and SBB are not). */
function isPlain(kind: 'add' | 'sub', a: Node, b: Node, result: Node): boolean {
  if (result.op === 'binary' && result.operator === kind && result.a === a && result.b === b) return true;
  return kind === 'sub' && isConstantZero(a) && result.op === 'unary' && result.operator === 'neg' && result.a === b;
}

/** The kind that an update can be kept as, or undefined when only the pair will do. */
export function kindOf(update: FlagsUpdate): FlagKind | undefined {
  if (update.kind === 'logic') return FLAGS.logic;
  if (update.kind !== 'add' && update.kind !== 'sub') return undefined;
  if (!isPlain(update.kind, update.a, update.b, update.result)) return undefined;
  const width = WIDTH_LOG[update.a.type];
  return width === undefined ? undefined : FLAGS[update.kind] + width;
}

/** The locals that hold the two values. */
export interface FlagLocals {
  readonly a: number;
  readonly b: number;
}

/** Pushes the result as the interpreter keeps it: sign-extended, i64. */
export function pushResult(code: Code, kind: FlagKind, { a, b }: FlagLocals): void {
  code.get(a);
  if (kind < FLAGS.sub) return;
  code.get(b).op(isSub(kind) ? OP.i64_sub : OP.i64_add);
  signExtend64(code, kind);
}

function signExtend64(code: Code, kind: FlagKind): void {
  const extend = [OP.i64_extend8_s, OP.i64_extend16_s, OP.i64_extend32_s][kind & 3];
  if (extend !== undefined) code.op(extend);
}

/** Pushes the carry vector as the interpreter keeps it: i32. */
export function pushCarry(code: Code, kind: FlagKind, { a, b }: FlagLocals): void {
  if (kind === FLAGS.pair) return void code.get(b).op(OP.i32_wrap_i64);
  if (kind === FLAGS.logic) return void code.i32(0);
  const vector = (): void => carries(code, kind, { a, b });
  vector();
  const width = widthOf(kind);
  if (width === 64) code.i64(32n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  else code.op(OP.i32_wrap_i64);
  if (width < 32) code.i32(32 - width).op(OP.i32_shl);
  code.i32(0xc0000000 | 0).op(OP.i32_and);
  vector();
  code.op(OP.i32_wrap_i64).i32(8).op(OP.i32_and, OP.i32_or);
}

/** Carries out of each bit: of a + b = r, (a & b) | ((a | b) & ~r); borrows of a - b = r, (~a & b) | ((~a | b) & r). */
function carries(code: Code, kind: FlagKind, { a, b }: FlagLocals): void {
  const sub = isSub(kind);
  const pushA = (): void => {
    code.get(a);
    if (sub) code.i64(-1n).op(OP.i64_xor);
  };
  pushA();
  code.get(b).op(OP.i64_and);
  pushA();
  code.get(b).op(OP.i64_or);
  code
    .get(a)
    .get(b)
    .op(sub ? OP.i64_sub : OP.i64_add);
  if (!sub) code.i64(-1n).op(OP.i64_xor);
  code.op(OP.i64_and, OP.i64_or);
}
