// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { KIND } from './format.ts';
import type { Unpacked } from './format.ts';
import { noteDenormals } from './nan.ts';

export const ORDER = { less: -1, equal: 0, greater: 1, unordered: 2 } as const;

/**
 * The order of a against b, one of `ORDER`. A quiet NaN raises invalid only if `signaling` (COMISD, FCOM; not UCOMISD, FUCOM);
 * a signaling NaN or an unsupported encoding always does.
 */
export function compare(env: FloatEnvironment, a: Unpacked, b: Unpacked, signaling: boolean): number {
  if (a.kind >= KIND.quietNan || b.kind >= KIND.quietNan) {
    if (signaling || a.kind > KIND.quietNan || b.kind > KIND.quietNan) env.raise(EXCEPTION.invalid);
    return ORDER.unordered;
  }
  noteDenormals(env, a, b);
  return compareNumbers(a, b);
}

/** Neither is a NaN; raises nothing. */
export function compareNumbers(a: Unpacked, b: Unpacked): number {
  if (a.kind === KIND.zero && b.kind === KIND.zero) return ORDER.equal;
  const signA = a.kind === KIND.zero ? 0 : 1 - 2 * a.sign;
  const signB = b.kind === KIND.zero ? 0 : 1 - 2 * b.sign;
  if (signA !== signB) return signA < signB ? ORDER.less : ORDER.greater;
  return signA < 0 ? compareMagnitudes(b, a) : compareMagnitudes(a, b);
}

function compareMagnitudes(a: Unpacked, b: Unpacked): number {
  if (a.kind !== b.kind) return a.kind < b.kind ? ORDER.less : ORDER.greater;
  if (a.kind !== KIND.finite) return ORDER.equal;
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? ORDER.less : ORDER.greater;
  if (a.significand === b.significand) return ORDER.equal;
  return a.significand < b.significand ? ORDER.less : ORDER.greater;
}
