// SPDX-License-Identifier: Apache-2.0

/**
 * Oscillators in virtual time, exact: a tick is counted from power-on, never from the tick before, so nothing drifts.
 * Good for frequencies up to 9 MHz, where a second's worth of ticks times 10^9 stays below 2^53.
 */
export const NANOSECONDS_PER_SECOND = 1_000_000_000;

/** How many whole ticks of an oscillator have passed at this virtual time. */
export function ticksAt(nanoseconds: number, hertz: number): number {
  const whole = Math.floor(nanoseconds);
  const seconds = Math.floor(whole / NANOSECONDS_PER_SECOND);
  const rest = whole - seconds * NANOSECONDS_PER_SECOND;
  return seconds * hertz + Math.floor((rest * hertz) / NANOSECONDS_PER_SECOND);
}

/** The first whole virtual nanosecond at which `ticksAt` gives this tick; Infinity stays Infinity. */
export function nanosecondsOfTick(tick: number, hertz: number): number {
  if (tick === Infinity) return Infinity;
  const seconds = Math.floor(tick / hertz);
  const rest = tick - seconds * hertz;
  return seconds * NANOSECONDS_PER_SECOND + Math.ceil((rest * NANOSECONDS_PER_SECOND) / hertz);
}
