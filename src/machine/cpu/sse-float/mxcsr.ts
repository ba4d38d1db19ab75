// SPDX-License-Identifier: Apache-2.0
import { ALL_EXCEPTIONS, BEFORE_COMPUTATION } from '../softfloat/environment.ts';
import type { FloatEnvironment } from '../softfloat/environment.ts';

/** See: SDM 10.2.3 MXCSR Control and Status Register. */
// prettier-ignore
export const MXCSR = {
  exceptions:       0x003f,
  inexact:          0x0020,
  denormalsAreZero: 0x0040,
  masks:            0x1f80,
  rounding:         0x6000,
  flushToZero:      0x8000,
  reset:            0x1f80,
  /** MXCSR_MASK: bits that may be set. */
  writable:         0xffff,
} as const;

const MASK_SHIFT = 7;
const ROUNDING_SHIFT = 13;

/** Rounding to nearest, all masked, and inexact already set: then a rounded normal result changes nothing in MXCSR. */
export function isOrdinary(mxcsr: number): boolean {
  return (mxcsr & (MXCSR.masks | MXCSR.rounding | MXCSR.inexact)) === (MXCSR.masks | MXCSR.inexact);
}

export function loadEnvironment(env: FloatEnvironment, mxcsr: number): void {
  env.rounding = (mxcsr & MXCSR.rounding) >> ROUNDING_SHIFT;
  env.masks = (mxcsr & MXCSR.masks) >> MASK_SHIFT;
  env.denormalsAreZero = (mxcsr & MXCSR.denormalsAreZero) !== 0;
  env.flushToZero = (mxcsr & MXCSR.flushToZero) !== 0;
  env.flags = 0;
}

/** The unmasked exceptions among those raised; not zero means SIMD floating-point exception, and no result. */
export function unmasked(env: FloatEnvironment): number {
  return env.flags & ~env.masks & ALL_EXCEPTIONS;
}

/**
 * The flags that the instruction sets. An unmasked exception of any element found before computation hides those found after it.
 * See: SDM 11.5.2 SIMD Floating-Point Exception Conditions.
 */
export function reportedFlags(env: FloatEnvironment): number {
  return (unmasked(env) & BEFORE_COMPUTATION) === 0 ? env.flags : env.flags & BEFORE_COMPUTATION;
}
