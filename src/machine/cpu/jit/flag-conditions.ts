// SPDX-License-Identifier: Apache-2.0
import { OP } from '../../wasm/opcodes.ts';
import type { Code } from '../interpreter/code.ts';
import { FLAGS, isAdd, isSub, pushResult, widthOf } from './flag-kinds.ts';
import type { FlagKind, FlagLocals } from './flag-kinds.ts';

/** Condition codes in pairs, the odd one the negation. See: SDM B.1.4.7 Condition Test (tttn) Field. */
const CONDITION = { overflow: 0, below: 1, zero: 2, belowOrEqual: 3, sign: 4, parity: 5, less: 6, lessOrEqual: 7 };

/**
 * Pushes a condition (i32, 0 or 1) worked out from the operands instead of from flags; false when this kind cannot
 * answer it so, and nothing was emitted.
 */
export function pushConditionOf(code: Code, kind: FlagKind, locals: FlagLocals, condition: number): boolean {
  const done = isSub(kind)
    ? ofDifference(code, kind, locals, condition >> 1)
    : isAdd(kind)
      ? ofSum(code, kind, locals, condition >> 1)
      : kind === FLAGS.logic && ofLogic(code, locals, condition >> 1);
  if (done && condition & 1) code.op(OP.i32_eqz);
  return done;
}

/** Both operands as the width's own integers: signed ones are extended. */
function pushOperands(code: Code, kind: FlagKind, { a, b }: FlagLocals, signed: boolean): void {
  for (const local of [a, b]) {
    code.get(local);
    if (widthOf(kind) < 64) code.op(OP.i32_wrap_i64);
    if (signed && widthOf(kind) === 8) code.op(OP.i32_extend8_s);
    if (signed && widthOf(kind) === 16) code.op(OP.i32_extend16_s);
  }
}

function compare(code: Code, kind: FlagKind, locals: FlagLocals, signed: boolean, wide: number, narrow: number): true {
  pushOperands(code, kind, locals, signed);
  code.op(widthOf(kind) === 64 ? wide : narrow);
  return true;
}

function ofDifference(code: Code, kind: FlagKind, locals: FlagLocals, pair: number): boolean {
  switch (pair) {
    case CONDITION.below:
      return compare(code, kind, locals, false, OP.i64_lt_u, OP.i32_lt_u);
    case CONDITION.zero:
      return compare(code, kind, locals, false, OP.i64_eq, OP.i32_eq);
    case CONDITION.belowOrEqual:
      return compare(code, kind, locals, false, OP.i64_le_u, OP.i32_le_u);
    case CONDITION.less:
      return compare(code, kind, locals, true, OP.i64_lt_s, OP.i32_lt_s);
    case CONDITION.lessOrEqual:
      return compare(code, kind, locals, true, OP.i64_le_s, OP.i32_le_s);
    case CONDITION.sign:
      return signOfResult(code, kind, locals);
    default:
      return false;
  }
}

function ofSum(code: Code, kind: FlagKind, locals: FlagLocals, pair: number): boolean {
  if (pair === CONDITION.sign) return signOfResult(code, kind, locals);
  if (pair === CONDITION.zero) {
    pushResult(code, kind, locals);
    code.op(OP.i64_eqz);
    return true;
  }
  if (pair !== CONDITION.below) return false;
  code.get(locals.a).get(locals.b).op(OP.i64_add);
  if (widthOf(kind) === 64) code.get(locals.a).op(OP.i64_lt_u);
  else code.i64(BigInt(widthOf(kind))).op(OP.i64_shr_u, OP.i32_wrap_i64);
  return true;
}

function signOfResult(code: Code, kind: FlagKind, locals: FlagLocals): true {
  pushResult(code, kind, locals);
  code.i64(63n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  return true;
}

/** CF and OF are 0. */
function ofLogic(code: Code, { a }: FlagLocals, pair: number): boolean {
  switch (pair) {
    case CONDITION.overflow:
    case CONDITION.below:
      code.i32(0);
      return true;
    case CONDITION.zero:
    case CONDITION.belowOrEqual:
      code.get(a).op(OP.i64_eqz);
      return true;
    case CONDITION.sign:
    case CONDITION.less:
      code.get(a).i64(63n).op(OP.i64_shr_u, OP.i32_wrap_i64);
      return true;
    case CONDITION.lessOrEqual:
      code.get(a).i64(0n).op(OP.i64_le_s);
      return true;
    default:
      return false;
  }
}
