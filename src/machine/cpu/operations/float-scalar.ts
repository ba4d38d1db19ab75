// SPDX-License-Identifier: Apache-2.0
import {
  DOUBLE,
  SINGLE,
  escapeUnusualMode,
  isExactProduct,
  isExactSum,
  isDenormal,
  isExtreme,
  isSpecial,
  magnitude,
} from './float-proof.ts';
import type { FloatFormat } from './float-proof.ts';
import type { Description, Operation, Value } from './operation.ts';
import { forms } from './vector.ts';
import type { Hot } from './vector.ts';

/** Arithmetic and comparison of one number, in the lowest lane of an XMM register: the rest of the destination stays. */

/** A description whose hard cases are done by the microcode of its mnemonic. */
export function escaping(
  mnemonic: string,
  signatures: readonly string[],
  describe: (o: Operation) => void,
  hot: Hot = 'none',
): Description[] {
  return forms(mnemonic, signatures, describe, hot).map((description) => ({ ...description, escapes: true }));
}

/** The number that is an operand: the lowest lane of a register, or memory. */
export function scalarOperand(o: Operation, index: 0 | 1, { float }: FloatFormat): Value {
  if (o.operands[index].kind === 'm') return o.loadOrEscape(float, o.operandAddress());
  return o.readPlace({ slot: index }, float);
}
export function writeScalar(o: Operation, value: Value): void {
  o.writePlace({ slot: 0 }, value, false);
}

interface Sides {
  readonly a: Value;
  readonly b: Value;
  readonly magnitudeA: Value;
  readonly magnitudeB: Value;
  /** One of the two is a denormal. */
  readonly denormal: Value;
}

function sides(o: Operation, format: FloatFormat): Sides {
  const b = scalarOperand(o, 1, format);
  const a = scalarOperand(o, 0, format);
  const magnitudeA = magnitude(a, format);
  const magnitudeB = magnitude(b, format);
  const denormal = isDenormal(magnitudeA, format).or(isDenormal(magnitudeB, format));
  return { a, b, magnitudeA, magnitudeB, denormal };
}

/** A sum that is denormal or zero is exact: nothing to watch for at that end. */
function sum(operator: 'add' | 'sub', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormal } = sides(o, format);
    const result = a[operator](b);
    escapeUnusualMode(o, () => isExactSum(operator, a, b, result));
    o.escape(denormal.or(isSpecial(magnitude(result, format), format)));
    writeScalar(o, result);
  };
}

/** A zero must come of a factor that is zero, or of a dividend: else it is an underflow. */
function product(operator: 'mul' | 'div', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormal, magnitudeA, magnitudeB } = sides(o, format);
    const result = a[operator](b);
    const size = magnitude(result, format);
    escapeUnusualMode(o, () =>
      operator === 'mul' ? isExactProduct(a, b, format) : isExactProduct(result, b, format).and(result.mul(b).eq(a)),
    );
    o.escape(denormal);
    o.when(isExtreme(size, format), () => {
      const exactZero = operator === 'mul' ? magnitudeA.isZero().or(magnitudeB.isZero()) : magnitudeA.isZero();
      o.escape(size.isZero().and(exactZero).not());
    });
    writeScalar(o, result);
  };
}

/** Never near overflow or underflow; the root of a negative number is a NaN. */
function root(format: FloatFormat) {
  return (o: Operation): void => {
    const b = scalarOperand(o, 1, format);
    const result = b.sqrt();
    const bad = isDenormal(magnitude(b, format), format).or(isSpecial(magnitude(result, format), format));
    escapeUnusualMode(o, () => isExactProduct(result, result, format).and(result.mul(result).eq(b)));
    o.escape(bad);
    writeScalar(o, result);
  };
}

/** No rounding, so MXCSR does not matter. Unless the order is strict the second operand is the result. */
function extremum(which: 'min' | 'max', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormal } = sides(o, format);
    const unordered = a.eq(a).and(b.eq(b)).not();
    o.escape(denormal.or(unordered));
    writeScalar(o, (which === 'min' ? a.lt(b) : b.lt(a)).select(a, b));
  };
}

/** See: SDM COMISD—Compare Scalar Ordered Double Precision Floating-Point Values and Set EFLAGS. */
function comparison(format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormal } = sides(o, format);
    const less = a.lt(b);
    const equal = a.eq(b);
    o.escape(denormal.or(less.or(equal).or(b.lt(a)).not()));
    o.flagsOfOrder(equal, less);
  };
}

function inBothFormats(
  mnemonic: string,
  describe: (format: FloatFormat) => (o: Operation) => void,
  doubleHot: Hot,
  singleHot: Hot,
): Description[] {
  return [
    ...escaping(`${mnemonic}SD`, ['x128x128', 'x128m64'], describe(DOUBLE), doubleHot),
    ...escaping(`${mnemonic}SS`, ['x128x128', 'x128m32'], describe(SINGLE), singleHot),
  ];
}

// prettier-ignore
export const FLOAT_SCALARS: readonly Description[] = [
  ...inBothFormats('ADD',   (format) => sum('add', format), 'all', 'all'),
  ...inBothFormats('SUB',   (format) => sum('sub', format), 'all', 'all'),
  ...inBothFormats('MUL',   (format) => product('mul', format), 'all', 'all'),
  ...inBothFormats('DIV',   (format) => product('div', format), 'all', 'registers'),
  ...inBothFormats('SQRT',  root, 'registers', 'none'),
  ...inBothFormats('MIN',   (format) => extremum('min', format), 'registers', 'none'),
  ...inBothFormats('MAX',   (format) => extremum('max', format), 'registers', 'none'),
  ...inBothFormats('COMI',  comparison, 'all', 'all'),
  ...inBothFormats('UCOMI', comparison, 'all', 'registers'),
];
