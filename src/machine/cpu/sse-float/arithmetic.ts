// SPDX-License-Identifier: Apache-2.0
import { add, divide, multiply, squareRoot, subtract } from '../softfloat/arithmetic.ts';
import type { Binary } from '../softfloat/arithmetic.ts';
import { BINARY32 } from '../softfloat/format.ts';
import { NORMAL32, NORMAL64, SHAPES, isPlain } from './unit.ts';
import type { SseFloatInstruction, SseFloatUnit, Shape } from './unit.ts';

const OPERATION = { add: 0, subtract: 1, multiply: 2, divide: 3, squareRoot: 4 } as const;

// prettier-ignore
const OPERATIONS: readonly { name: string; code: number; exact: Binary }[] = [
  { name: 'ADD',  code: OPERATION.add,        exact: add },
  { name: 'SUB',  code: OPERATION.subtract,   exact: subtract },
  { name: 'MUL',  code: OPERATION.multiply,   exact: multiply },
  { name: 'DIV',  code: OPERATION.divide,     exact: divide },
  { name: 'SQRT', code: OPERATION.squareRoot, exact: (env, format, _a, b) => squareRoot(env, format, b) },
];

/** Scratch of the fast path: nothing may be written before all elements are known to be ordinary. */
const results = new Float64Array(4);

/** In binary64, which is exact enough for binary32 too: with 53 >= 2 x 24 + 2 bits a second rounding is harmless. */
function compute(code: number, a: number, b: number): number {
  switch (code) {
    case OPERATION.add:
      return a + b;
    case OPERATION.subtract:
      return a - b;
    case OPERATION.multiply:
      return a * b;
    case OPERATION.divide:
      return a / b;
    default:
      return Math.sqrt(b);
  }
}

/**
 * Whether an element's result, computed from plain operands, raises nothing but inexact. The least normal number itself is left to the
 * exact path: it may come of a tiny value. A zero must be exact.
 */
function isOrdinaryResult(
  code: number,
  result: number,
  a: number,
  b: number,
  range: typeof NORMAL32 | typeof NORMAL64,
): boolean {
  const magnitude = Math.abs(result);
  if (magnitude > range.least && magnitude <= range.most) return true;
  if (result !== 0) return false;
  return (
    code <= OPERATION.subtract || code === OPERATION.squareRoot || a === 0 || (b === 0 && code === OPERATION.multiply)
  );
}

function fast32(code: number, lanes: number, unit: SseFloatUnit, destination: number, source: number): boolean {
  if (!unit.ordinary) return false;
  const { f32 } = unit;
  const to = destination >> 2;
  const from = source >> 2;
  for (let lane = 0; lane < lanes; lane++) {
    const b = f32[from + lane];
    const a = code === OPERATION.squareRoot ? b : f32[to + lane];
    const result = Math.fround(compute(code, a, b));
    if (!isPlain(a, NORMAL32) || !isPlain(b, NORMAL32)) return false;
    if (!isOrdinaryResult(code, result, a, b, NORMAL32)) return false;
    results[lane] = result;
  }
  for (let lane = 0; lane < lanes; lane++) f32[to + lane] = results[lane];
  return true;
}

function fast64(code: number, lanes: number, unit: SseFloatUnit, destination: number, source: number): boolean {
  if (!unit.ordinary) return false;
  const { f64 } = unit;
  const to = destination >> 3;
  const from = source >> 3;
  for (let lane = 0; lane < lanes; lane++) {
    const b = f64[from + lane];
    const a = code === OPERATION.squareRoot ? b : f64[to + lane];
    const result = compute(code, a, b);
    if (!isPlain(a, NORMAL64) || !isPlain(b, NORMAL64)) return false;
    if (!isOrdinaryResult(code, result, a, b, NORMAL64)) return false;
    results[lane] = result;
  }
  for (let lane = 0; lane < lanes; lane++) f64[to + lane] = results[lane];
  return true;
}

function arithmetic(name: string, code: number, exact: Binary, shape: Shape): SseFloatInstruction {
  const { suffix, format, lanes, bytes } = shape;
  return {
    mnemonic: name + suffix,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, destination, source) {
      for (let lane = 0; lane < lanes; lane++) {
        const a = unit.element(destination, lane, format);
        unit.put(lane, format, exact(unit.env, format, a, unit.element(source, lane, format)));
      }
    },
    fast:
      format === BINARY32
        ? (unit, destination, source) => fast32(code, lanes, unit, destination, source)
        : (unit, destination, source) => fast64(code, lanes, unit, destination, source),
  };
}

export const ARITHMETIC: readonly SseFloatInstruction[] = OPERATIONS.flatMap(({ name, code, exact }) =>
  SHAPES.map((shape) => arithmetic(name, code, exact, shape)),
);
