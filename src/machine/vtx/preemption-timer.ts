// SPDX-License-Identifier: Apache-2.0
import type { VmxState } from './vmx-state.ts';

/** The timer counts down each time this bit of the time-stamp counter changes; IA32_VMX_MISC[4:0]. */
const RATE = 5;
const PERIOD = 2 ** RATE;

/**
 * The tick at which a timer that starts with `value` reaches 0: a tick is an increment of the time-stamp counter, and
 * what software adds to that counter does not count. See: SDM 26.5.1 VMX-Preemption Timer
 */
export function preemptionDeadline(value: number, ticks: number): number {
  return value === 0 ? ticks : (Math.floor(ticks / PERIOD) + value) * PERIOD;
}

/** The value that a VM exit saves: 0 when the timer has expired. */
export function savedPreemptionTimer(state: VmxState, ticks: number): number {
  if (state.preemptionDeadline <= ticks) return 0;
  return Math.floor(state.preemptionDeadline / PERIOD) - Math.floor(ticks / PERIOD);
}
