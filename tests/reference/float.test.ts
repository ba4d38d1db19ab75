// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Random } from '../oracle/random.ts';
import { interestingBytes } from '../oracle/values.ts';
import * as float from './float.ts';

const ROUNDS = 20_000;
const view = new DataView(new ArrayBuffer(8));

function numberOf(bits: bigint, single: boolean): number {
  if (single) view.setUint32(0, Number(bits), true);
  else view.setBigUint64(0, bits, true);
  return single ? view.getFloat32(0, true) : view.getFloat64(0, true);
}
function bitsOf(value: number, single: boolean): bigint {
  if (single) view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  return single ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
}

/** JavaScript's numbers are doubles, and of two singles the exact operation rounded twice is rounded once. */
for (const single of [true, false]) {
  test(`${single ? 'singles' : 'doubles'}: as JavaScript computes them`, () => {
    const random = new Random(`float ${single}`);
    const format = single ? float.F32 : float.F64;
    const next = (): bigint => {
      const bytes = interestingBytes(random, single ? 'f32' : 'f64', single ? 4 : 8);
      return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    };
    const agree = (what: string, got: bigint, expected: number): void => {
      if (Number.isNaN(expected)) assert.equal(got, float.poison(format), what);
      else assert.equal(got, bitsOf(expected, single), what);
    };
    for (let n = 0; n < ROUNDS; n++) {
      const [a, b] = [next(), next()];
      const [x, y] = [numberOf(a, single), numberOf(b, single)];
      const of = (operator: string): string => `${x} ${operator} ${y}`;
      agree(of('+'), float.add(a, b, format), x + y);
      agree(of('-'), float.sub(a, b, format), x - y);
      agree(of('*'), float.mul(a, b, format), x * y);
      agree(of('/'), float.div(a, b, format), x / y);
      agree(`sqrt ${x}`, float.sqrt(a, format), Math.sqrt(x));
      agree(`floor ${x}`, float.rounded(a, 'floor', format), Math.floor(x));
      agree(`ceil ${x}`, float.rounded(a, 'ceil', format), Math.ceil(x));
      agree(`trunc ${x}`, float.rounded(a, 'truncate', format), Math.trunc(x));
      assert.deepEqual([float.less(a, b, format), float.equal(a, b, format)], [x < y, x === y], of('?'));
      if (!Number.isNaN(x)) {
        const other = single ? float.F64 : float.F32;
        assert.equal(float.inFormat(a, format, other), bitsOf(x, !single), `${x} in the other format`);
      }
    }
  });
}
