// SPDX-License-Identifier: Apache-2.0
import { roundToIntegral } from '../softfloat/convert.ts';
import { ROUNDING } from '../softfloat/environment.ts';
import { BINARY32 } from '../softfloat/format.ts';
import type { Format } from '../softfloat/format.ts';
import { NORMAL32, NORMAL64, SHAPES, isPlain } from './unit.ts';
import type { SseFloatInstruction, SseFloatUnit, Shape } from './unit.ts';

/** Bits of the immediate. See: SDM Table 4-18 Rounding Modes and Encoding of Rounding Control (RC) Field. */
const IMMEDIATE = { rounding: 3, fromMxcsr: 4, suppressInexact: 8 } as const;

const INTEGRAL = 2 ** 52;

/** To the nearest integral value, even when halfway: adding 2^52 leaves no bits below the integer. */
function roundToEven(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude >= INTEGRAL) return value;
  const rounded = magnitude + INTEGRAL - INTEGRAL;
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** By rounding mode. */
const NATIVE = [roundToEven, Math.floor, Math.ceil, Math.trunc] as const;

/** The scalar forms, which are what floor() and its kin compile to; values that are neither denormal, infinite nor NaNs. */
function fastRound(
  format: Format,
  unit: SseFloatUnit,
  destination: number,
  source: number,
  immediate: number,
): boolean {
  const single = format === BINARY32;
  const value = single ? unit.f32[source >> 2] : unit.f64[source >> 3];
  if (!isPlain(value, single ? NORMAL32 : NORMAL64)) return false;
  if ((immediate & IMMEDIATE.fromMxcsr) !== 0 && !unit.ordinary) return false;
  const rounding = (immediate & IMMEDIATE.fromMxcsr) !== 0 ? ROUNDING.nearest : immediate & IMMEDIATE.rounding;
  const result = NATIVE[rounding](value);
  if (result !== value && !unit.ordinary && (immediate & IMMEDIATE.suppressInexact) === 0) return false;
  if (single) unit.f32[destination >> 2] = result;
  else unit.f64[destination >> 3] = result;
  return true;
}

function round({ suffix, format, lanes, bytes }: Shape): SseFloatInstruction {
  return {
    mnemonic: `ROUND${suffix}`,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, _destination, source, immediate) {
      const { env } = unit;
      const rounding = (immediate & IMMEDIATE.fromMxcsr) === 0 ? immediate & IMMEDIATE.rounding : env.rounding;
      const quietly = (immediate & IMMEDIATE.suppressInexact) !== 0;
      for (let lane = 0; lane < lanes; lane++)
        unit.put(lane, format, roundToIntegral(env, format, unit.element(source, lane, format), rounding, quietly));
    },
    ...(lanes > 1
      ? {}
      : { fast: (unit, destination, source, immediate) => fastRound(format, unit, destination, source, immediate) }),
  };
}

export const ROUND: readonly SseFloatInstruction[] = SHAPES.map(round);
