// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { INDEFINITE, KIND } from './format.ts';
import type { Unpacked } from './format.ts';

/** Raises invalid and gives the QNaN floating-point indefinite. */
export function invalid(env: FloatEnvironment): Unpacked {
  env.raise(EXCEPTION.invalid);
  return INDEFINITE;
}

/**
 * The NaN that one or two operands lead to, or undefined when all are numbers. It may still be signaling: packing quiets it.
 * Invalid is raised for a signaling NaN or an unsupported encoding; nothing of lower priority (denormal) is looked at then.
 * See: SDM Table 4-7 Rules for Handling NaNs.
 */
export function propagateNan(env: FloatEnvironment, a: Unpacked, b: Unpacked = a): Unpacked | undefined {
  if (a.kind < KIND.quietNan && b.kind < KIND.quietNan) return undefined;
  if (a.kind === KIND.unsupported || b.kind === KIND.unsupported) return invalid(env);
  if (a.kind === KIND.signalingNan || b.kind === KIND.signalingNan) env.raise(EXCEPTION.invalid);
  if (b.kind < KIND.quietNan) return a;
  if (a.kind < KIND.quietNan) return b;
  return env.nanRule === 'first-operand' ? a : largerSignificand(a, b);
}

function largerSignificand(a: Unpacked, b: Unpacked): Unpacked {
  if (a.kind !== b.kind) return a.kind === KIND.quietNan ? a : b;
  if (a.significand !== b.significand) return a.significand > b.significand ? a : b;
  return a.sign <= b.sign ? a : b;
}

/** Raises denormal when an operand is one. */
export function noteDenormals(env: FloatEnvironment, a: Unpacked, b: Unpacked = a): void {
  if (a.denormal || b.denormal) env.raise(EXCEPTION.denormal);
}
