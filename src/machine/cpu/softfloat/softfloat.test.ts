// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { add, divide, integerSquareRoot, multiply, squareRoot, subtract } from './arithmetic.ts';
import { ORDER, compare } from './compare.ts';
import { convert, fromInteger, roundToIntegral, toInteger } from './convert.ts';
import { EXCEPTION, FloatEnvironment, ROUNDING } from './environment.ts';
import { BINARY32, BINARY64, EXTENDED80, bitLength, unpack } from './format.ts';
import type { Unpacked } from './format.ts';

const scratch = new DataView(new ArrayBuffer(8));

function bits64(value: number): bigint {
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}

function number64(bits: bigint): number {
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
}

function number32(bits: bigint): number {
  scratch.setUint32(0, Number(bits));
  return scratch.getFloat32(0);
}

const unpack64 = (value: number): Unpacked => unpack(bits64(value), BINARY64);
const environment = (): FloatEnvironment => new FloatEnvironment('first-operand');
const any = fc.double({ noNaN: true });

describe('arithmetic in binary64, rounded to nearest', () => {
  const PAIRS = [
    { name: 'add', exact: add, native: (a: number, b: number) => a + b },
    { name: 'subtract', exact: subtract, native: (a: number, b: number) => a - b },
    { name: 'multiply', exact: multiply, native: (a: number, b: number) => a * b },
    { name: 'divide', exact: divide, native: (a: number, b: number) => a / b },
  ];
  for (const { name, exact, native } of PAIRS)
    it(`is that of JavaScript: ${name}`, () => {
      fc.assert(
        fc.property(any, any, (a, b) => {
          assert.equal(number64(exact(environment(), BINARY64, unpack64(a), unpack64(b))), native(a, b));
        }),
        { numRuns: 1000 },
      );
    });

  it('is that of JavaScript: square root and conversion to binary32', () => {
    fc.assert(
      fc.property(any, (a) => {
        assert.equal(number64(squareRoot(environment(), BINARY64, unpack64(a))), Math.sqrt(a));
        assert.equal(number32(convert(environment(), BINARY32, unpack64(a))), Math.fround(a));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('rounding modes', () => {
  it('enclose the exact result, and agree when it is exact', () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        const results = [ROUNDING.down, ROUNDING.up].map((rounding) => {
          const env = environment();
          env.rounding = rounding;
          return { value: number64(multiply(env, BINARY64, unpack64(a), unpack64(b))), flags: env.flags };
        });
        const [down, up] = results;
        if (Number.isNaN(down.value)) return;
        assert.equal(down.flags, up.flags);
        if ((down.flags & EXCEPTION.inexact) === 0) assert.ok(down.value === up.value);
        else assert.ok(down.value < up.value);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('flags', () => {
  it('underflow needs an inexact result while masked, tininess alone while not', () => {
    const tiny = unpack64(2 ** -1070);
    const env = environment();
    add(env, BINARY64, tiny, tiny);
    assert.equal(env.flags, EXCEPTION.denormal);
    env.masks &= ~EXCEPTION.underflow;
    add(env, BINARY64, tiny, tiny);
    assert.equal(env.flags, EXCEPTION.denormal | EXCEPTION.underflow);
  });

  it('a result that rounds up to the least normal number is tiny only by its unbounded rounding', () => {
    const env = environment();
    // (1 - 2^-53) x 2^-1022: 53 bits hold it, so it is tiny although its denormal rounding gives 2^-1022.
    assert.equal(number64(multiply(env, BINARY64, unpack64(1 - 2 ** -53), unpack64(2 ** -1022))), 2 ** -1022);
    assert.equal(env.flags, EXCEPTION.underflow | EXCEPTION.inexact);
  });

  it('zero divide hides a denormal dividend', () => {
    const env = environment();
    divide(env, BINARY64, unpack64(5e-324), unpack64(0));
    assert.equal(env.flags, EXCEPTION.zeroDivide);
  });
});

describe('integers', () => {
  it('convert both ways', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const encoded = fromInteger(environment(), EXTENDED80, value);
        assert.equal(toInteger(environment(), unpack(encoded, EXTENDED80), 64), value);
        assert.equal(number64(fromInteger(environment(), BINARY64, value)), Number(value));
      }),
    );
  });

  it('that do not fit are the indefinite and invalid', () => {
    for (const value of [2 ** 31, -(2 ** 31) - 1, Infinity, NaN, 1e300]) {
      const env = environment();
      assert.equal(toInteger(env, unpack64(value), 32), -(2n ** 31n));
      assert.equal(env.flags, EXCEPTION.invalid);
    }
    const env = environment();
    assert.equal(toInteger(env, unpack64(-(2 ** 31)), 32), -(2n ** 31n));
    assert.equal(env.flags, 0);
  });

  it('round like JavaScript where it can', () => {
    const MODES = [
      { rounding: ROUNDING.down, native: Math.floor },
      { rounding: ROUNDING.up, native: Math.ceil },
      { rounding: ROUNDING.zero, native: Math.trunc },
    ];
    fc.assert(
      fc.property(fc.oneof(any, fc.double({ min: -1000, max: 1000, noNaN: true })), (a) => {
        for (const { rounding, native } of MODES)
          assert.equal(number64(roundToIntegral(environment(), BINARY64, unpack64(a), rounding)), native(a));
      }),
    );
  });
});

describe('comparison', () => {
  it('is that of JavaScript; a quiet NaN is invalid only to the signaling kind', () => {
    fc.assert(
      fc.property(fc.double(), fc.double(), (a, b) => {
        const wanted = a < b ? ORDER.less : a > b ? ORDER.greater : a === b ? ORDER.equal : ORDER.unordered;
        for (const signaling of [false, true]) {
          const env = environment();
          assert.equal(compare(env, unpack64(a), unpack64(b), signaling), wanted);
          assert.equal((env.flags & EXCEPTION.invalid) !== 0, signaling && wanted === ORDER.unordered);
        }
      }),
    );
  });
});

describe('helpers', () => {
  it('bitLength and integerSquareRoot', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 390n }), (value) => {
        assert.equal(bitLength(value), value === 0n ? 0 : value.toString(2).length);
        const root = integerSquareRoot(value);
        assert.ok(root * root <= value && (root + 1n) * (root + 1n) > value);
      }),
    );
  });
});
