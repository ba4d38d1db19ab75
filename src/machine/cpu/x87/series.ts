// SPDX-License-Identifier: Apache-2.0
import { integerSquareRoot } from '../softfloat/arithmetic.ts';

/**
 * Power series in fixed point: an integer stands for itself x 2^-WIDTH. What comes out is meant as a factor near 1, so that the relative
 * error is below 2^-180 whatever the size of the argument. Everything is truncated.
 */
export const WIDTH = 192;
const W = BigInt(WIDTH);
export const ONE: bigint = 1n << W;

export const PI = 0x3243f6a8885a308d313198a2e03707344a4093822299f31d0n;
export const LN2 = 0xb17217f7d1cf79abc9e3b39803f2f6af40f343267298b62dn;

/** A factor that is truly below 1, but by less than a unit, must not look like 1: directed rounding would go the wrong way. */
const belowOne = (factor: bigint): bigint => (factor >= ONE ? ONE - 1n : factor);

export function multiplyFixed(a: bigint, b: bigint): bigint {
  return (a * b) >> W;
}

/** A series whose term n follows from the one before it; ends when terms vanish. */
function sum(next: (term: bigint, n: bigint) => bigint): bigint {
  let total = ONE;
  let term = ONE;
  for (let n = 1n; term !== 0n && term !== -1n; n++) {
    term = next(term, n);
    total += term;
  }
  return total;
}

/** sin x / x. */
export function sineFactor(x: bigint): bigint {
  const square = -multiplyFixed(x, x);
  return belowOne(sum((term, n) => multiplyFixed(term, square) / (2n * n * (2n * n + 1n))));
}

/** cos x. */
export function cosine(x: bigint): bigint {
  const square = -multiplyFixed(x, x);
  return belowOne(sum((term, n) => multiplyFixed(term, square) / (2n * n * (2n * n - 1n))));
}

/** (e^x - 1) / x, for x of either sign. */
export function exponentialFactor(x: bigint): bigint {
  const factor = sum((term, n) => multiplyFixed(term, x) / (n + 1n));
  return x <= 0n ? belowOne(factor) : factor;
}

/** A sum of powers of `square` over odd numbers. */
function oddSum(square: bigint): bigint {
  let total = ONE;
  let power = ONE;
  for (let n = 3n; power !== 0n && power !== -1n; n += 2n) {
    power = multiplyFixed(power, square);
    total += power / n;
  }
  return total;
}

/** artanh z / z. */
export function areaTangentFactor(z: bigint): bigint {
  return oddSum(multiplyFixed(z, z));
}

/** arctan z / z, for z up to 1. Two half-angle steps, each z / (1 + sqrt(1 + z^2)), make the series short. */
export function arcTangentFactor(z: bigint): bigint {
  let argument = z;
  let factor = ONE;
  for (let step = 0; step < 2; step++) {
    const root = integerSquareRoot((ONE + multiplyFixed(argument, argument)) << W);
    const scale = (ONE << W) / (ONE + root);
    argument = multiplyFixed(argument, scale);
    factor = multiplyFixed(factor, 2n * scale);
  }
  return belowOne(multiplyFixed(factor, oddSum(-multiplyFixed(argument, argument))));
}
