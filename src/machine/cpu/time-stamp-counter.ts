// SPDX-License-Identifier: Apache-2.0
import type { TimeStampCounter } from '../../hardware/processor.ts';
import type { MutableHalves } from './environment.ts';

const TWO_32 = 0x100000000;
/** Sums of ticks and a few offsets below this are exact Numbers: the machine never gets to so many ticks. */
const LARGEST_AHEAD = 2 ** 51;

/** A 64-bit offset as a signed Number, or NaN where sums with it would not be exact. */
export function exactOffset(low: number, high: number): number {
  const offset = (high | 0) * TWO_32 + low;
  return Math.abs(offset) < LARGEST_AHEAD ? offset : NaN;
}

/** The part of a processor that counts. */
export interface TickSource {
  readonly ticks: number;
}

/**
 * The time-stamp counter: ticks + offset, modulo 2^64, in unsigned halves. Every write of it changes IA32_TSC_ADJUST
 * by the same amount, and the other way round. See: SDM 18.17.3 Time-Stamp Counter Adjustment.
 */
export class TimeStampCounterState implements TimeStampCounter {
  readonly frequencyHz: number;
  readonly offset: MutableHalves = { low: 0, high: 0 };
  readonly adjust: MutableHalves = { low: 0, high: 0 };
  /** `offset` as a signed Number, or NaN where that is not exact: for RDTSC, which guests execute by the million. */
  ahead = 0;
  /** Told after `ahead` changed. */
  moved: () => void = () => {};
  private readonly source: TickSource;

  constructor(source: TickSource, frequencyHz: number) {
    this.source = source;
    this.frequencyHz = frequencyHz;
  }

  /** Now, as unsigned halves. */
  read(out: MutableHalves): void {
    const { ticks } = this.source;
    const { offset } = this;
    const low = (ticks >>> 0) + offset.low;
    out.low = low >>> 0;
    out.high = (Math.floor(ticks / TWO_32) + offset.high + (low >= TWO_32 ? 1 : 0)) >>> 0;
  }

  /** WRMSR of IA32_TIME_STAMP_COUNTER. */
  write(low: number, high: number): void {
    const now = { low: 0, high: 0 };
    this.read(now);
    this.move(difference(low, high, now));
  }

  /** WRMSR of IA32_TSC_ADJUST. */
  writeAdjust(low: number, high: number): void {
    this.move(difference(low, high, this.adjust));
  }

  private move(by: MutableHalves): void {
    add(this.offset, by);
    add(this.adjust, by);
    this.ahead = exactOffset(this.offset.low, this.offset.high);
    this.moved();
  }

  nanosecondsAt(low: number, high: number): number {
    const { ticks } = this.source;
    const now = { low: 0, high: 0 };
    this.read(now);
    const ahead = (high >>> 0) - now.high || (low >>> 0) - now.low;
    if (ahead <= 0) return 0;
    const { low: deltaLow, high: deltaHigh } = difference(low, high, now);
    // Beyond this a Number is not exact, and the machine never gets there.
    if (deltaHigh >= 0x100000) return Infinity;
    // A fraction where a tick is no whole nanosecond: the schedule finds the tick again.
    return ((ticks + deltaHigh * TWO_32 + deltaLow) * 1e9) / this.frequencyHz;
  }
}

/** Without a remainder of floating-point numbers, which is a call into C. */
function add(to: MutableHalves, by: MutableHalves): void {
  const low = to.low + by.low;
  to.low = low >>> 0;
  to.high = (to.high + by.high + (low >= TWO_32 ? 1 : 0)) >>> 0;
}

function difference(low: number, high: number, from: MutableHalves): MutableHalves {
  const result = (low >>> 0) - from.low;
  return { low: result >>> 0, high: ((high >>> 0) - from.high - (result < 0 ? 1 : 0)) >>> 0 };
}
