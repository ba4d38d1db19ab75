// SPDX-License-Identifier: Apache-2.0
import {
  DOUBLE,
  SINGLE,
  anyOf,
  denormalLanes,
  extremeLanes,
  nanLanes,
  nonzeroLanes,
  specialLanes,
  unusualMode,
} from './float-proof.ts';
import type { FloatFormat } from './float-proof.ts';
import { escaping } from './float-scalar.ts';
import type { Description, Operation, Value } from './operation.ts';
import type { Hot } from './vector.ts';

/** Arithmetic in all lanes of XMM registers: what float-scalar.ts shows of one number is shown of every lane. */

/** 16 bytes of a register, or of aligned memory. */
export function packedOperand(o: Operation, index: number): Value {
  if (o.operands[index].kind !== 'm') return o.read(index);
  const address = o.operandAddress();
  o.escape(address.as('i32').and(15).ne(0));
  return o.loadOrEscape('v128', address);
}

function sides(o: Operation, format: FloatFormat): { a: Value; b: Value; denormals: Value } {
  const b = packedOperand(o, 1);
  const a = o.read(0);
  const denormals = denormalLanes(o, a, format).simd('v128_or', denormalLanes(o, b, format));
  return { a, b, denormals };
}

function sum(operator: 'add' | 'sub', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormals } = sides(o, format);
    const result = a.simd(`${format.shape}_${operator}`, b);
    o.escape(unusualMode(o).or(anyOf(denormals, specialLanes(o, result, format))));
    o.write(0, result);
  };
}

/** Lanes of an extreme result are right only where they are a zero that comes of one. */
function product(operator: 'mul' | 'div', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormals } = sides(o, format);
    const result = a.simd(`${format.shape}_${operator}`, b);
    const extreme = extremeLanes(o, result, format);
    o.escape(unusualMode(o).or(anyOf(denormals)));
    o.when(anyOf(extreme), () => {
      const nonzeroA = nonzeroLanes(o, a, format);
      const rounded = operator === 'mul' ? nonzeroA.simd('v128_and', nonzeroLanes(o, b, format)) : nonzeroA;
      const wrong = nonzeroLanes(o, result, format).simd('v128_or', rounded);
      o.escape(anyOf(extreme.simd('v128_and', wrong)));
    });
    o.write(0, result);
  };
}

function root(format: FloatFormat) {
  return (o: Operation): void => {
    const b = packedOperand(o, 1);
    const result = b.simd(`${format.shape}_sqrt`);
    o.escape(unusualMode(o).or(anyOf(denormalLanes(o, b, format), specialLanes(o, result, format))));
    o.write(0, result);
  };
}

/** `pmin(b, a)` is a < b ? a : b. */
function extremum(which: 'pmin' | 'pmax', format: FloatFormat) {
  return (o: Operation): void => {
    const { a, b, denormals } = sides(o, format);
    o.escape(anyOf(denormals, nanLanes(a, format), nanLanes(b, format)));
    o.write(0, b.simd(`${format.shape}_${which}`, a));
  };
}

function inBothFormats(
  mnemonic: string,
  describe: (format: FloatFormat) => (o: Operation) => void,
  hot: Hot,
): Description[] {
  return [
    ...escaping(`${mnemonic}PD`, ['x128x128', 'x128m128'], describe(DOUBLE), hot),
    ...escaping(`${mnemonic}PS`, ['x128x128', 'x128m128'], describe(SINGLE), hot),
  ];
}

// prettier-ignore
export const FLOAT_PACKED: readonly Description[] = [
  ...inBothFormats('ADD',  (format) => sum('add', format), 'registers'),
  ...inBothFormats('SUB',  (format) => sum('sub', format), 'none'),
  ...inBothFormats('MUL',  (format) => product('mul', format), 'registers'),
  ...inBothFormats('DIV',  (format) => product('div', format), 'none'),
  ...inBothFormats('SQRT', root, 'none'),
  ...inBothFormats('MIN',  (format) => extremum('pmin', format), 'none'),
  ...inBothFormats('MAX',  (format) => extremum('pmax', format), 'none'),
];
