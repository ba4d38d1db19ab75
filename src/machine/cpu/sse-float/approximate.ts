// SPDX-License-Identifier: Apache-2.0
import { BINARY32, INDEFINITE, KIND, infinity, packSpecial, unpack, zero } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { SHAPES } from './unit.ts';
import type { SseFloatInstruction, Shape } from './unit.ts';

/**
 * RCPPS and RSQRTPS promise a relative error of at most 1.5 x 2^-12 and leave the table to the processor; processors differ.
 * Ours is the exact quotient rounded to 12 bits (error at most 2^-12), the same on every host: division and square root
 * of binary64 are exact in JavaScript. No flag is ever raised; denormals count as zero. See: SDM RCPPS—Compute Reciprocals of Packed
 * Single Precision Floating-Point Values.
 */
const DROPPED_BITS = 12;
const scratch = new DataView(new ArrayBuffer(4));

function approximation(exact: number): number {
  scratch.setFloat32(0, exact);
  const bits = scratch.getUint32(0);
  const half = 1 << (DROPPED_BITS - 1);
  const rounded = ((bits + half) & -(1 << DROPPED_BITS)) >>> 0;
  // Tiny results are flushed to a zero of their sign.
  return (rounded & 0x7f80_0000) === 0 ? (rounded & 0x8000_0000) >>> 0 : rounded;
}

function toNumber(a: Unpacked): number {
  const magnitude = Number(a.significand) * 2 ** (a.exponent - 63);
  return a.sign === 1 ? -magnitude : magnitude;
}

/** A value with denormals as zeroes; the encoding of the answer for all that is not finite. */
function special(a: Unpacked, negativeIsInvalid: boolean): bigint | undefined {
  if (a.kind >= KIND.quietNan) return packSpecial(BINARY32, a);
  if (a.kind === KIND.zero || a.denormal) return packSpecial(BINARY32, infinity(a.sign));
  if (negativeIsInvalid && a.sign === 1) return packSpecial(BINARY32, INDEFINITE);
  return a.kind === KIND.infinity ? packSpecial(BINARY32, zero(a.sign)) : undefined;
}

export function approximateReciprocal(bits: number): number {
  const a = unpack(BigInt(bits), BINARY32);
  return Number(special(a, false) ?? approximation(1 / toNumber(a)));
}

export function approximateReciprocalRoot(bits: number): number {
  const a = unpack(BigInt(bits), BINARY32);
  return Number(special(a, true) ?? approximation(1 / Math.sqrt(toNumber(a))));
}

function approximate(
  name: string,
  compute: (bits: number) => number,
  { suffix, lanes, bytes }: Shape,
): SseFloatInstruction {
  return {
    mnemonic: name + suffix,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, _destination, source) {
      for (let lane = 0; lane < lanes; lane++) unit.put32(lane, compute(unit.view.getUint32(source + lane * 4, true)));
    },
  };
}

const SINGLE = SHAPES.filter(({ format }) => format === BINARY32);

export const APPROXIMATE: readonly SseFloatInstruction[] = [
  ...SINGLE.map((shape) => approximate('RCP', approximateReciprocal, shape)),
  ...SINGLE.map((shape) => approximate('RSQRT', approximateReciprocalRoot, shape)),
];
