// SPDX-License-Identifier: Apache-2.0

/** Exception flags, in the bit positions that MXCSR and the x87 status word share. See: SDM 4.9.1 Floating-Point Exception Conditions. */
export const EXCEPTION = { invalid: 1, denormal: 2, zeroDivide: 4, overflow: 8, underflow: 16, inexact: 32 } as const;
/** Detected before anything is computed: unmasked, they leave the destination alone. */
export const BEFORE_COMPUTATION = EXCEPTION.invalid | EXCEPTION.denormal | EXCEPTION.zeroDivide;
export const ALL_EXCEPTIONS = 0x3f;

/** As in MXCSR.RC and the x87 control word. See: SDM 4.8.4 Rounding. */
export const ROUNDING = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Which NaN of two wins: the first operand, or the larger significand. See: SDM Table 4-7 Rules for Handling NaNs. */
export type NanRule = 'first-operand' | 'larger-significand';

/** What arithmetic is done under, and what it leaves behind. One object serves many operations: `flags` are sticky. */
export class FloatEnvironment {
  /** One of `ROUNDING`. */
  rounding: number = ROUNDING.nearest;
  /** Bits of significand that results in extended80 keep: 24, 53 or 64. */
  precision = 64;
  /** A set bit masks the exception of the same number. */
  masks: number = ALL_EXCEPTIONS;
  denormalsAreZero = false;
  flushToZero = false;
  readonly nanRule: NanRule;

  /** Out: exceptions raised since it was last cleared. */
  flags = 0;
  /** Out: the last rounding went away from zero (C1 of the x87). */
  roundedUp = false;

  constructor(nanRule: NanRule) {
    this.nanRule = nanRule;
  }

  raise(flags: number): void {
    this.flags |= flags;
  }

  isMasked(flag: number): boolean {
    return (this.masks & flag) !== 0;
  }
}
