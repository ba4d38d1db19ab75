// SPDX-License-Identifier: Apache-2.0
import type { TimeStampCounter } from '../hardware/processor.ts';
import type { Timer, TimerService } from '../hardware/time.ts';

/** What CPUID leaf 15H and the guest's calibration find: one count is one virtual nanosecond before division. */
export const LOCAL_APIC_TIMER_HERTZ = 1_000_000_000;

/** Bits 18:17 of the LVT timer register. See: SDM 11.5.4 APIC Timer. */
export const TIMER_MODE = { ONE_SHOT: 0, PERIODIC: 1, TSC_DEADLINE: 2 } as const;

export type ApicTimerState = {
  mode: number;
  initialCount: number;
  /** 1, 2, 4 .. 128 */
  divisor: number;
  /** Whether a count is running (flag). */
  running: number;
  /** Virtual nanoseconds at which the running count began. */
  start: number;
  /** IA32_TSC_DEADLINE; zero when disarmed. */
  deadlineLow: number;
  deadlineHigh: number;
  /** When the timer fires, virtual nanoseconds. */
  deadline: number;
};

/** Bits 3, 1 and 0 of the divide configuration register: 0 divides by 2, 7 by 1. */
export const divisorOf = (register: number): number => 1 << (((((register >> 1) & 4) | (register & 3)) + 1) & 7);

/** The timer of a local APIC: one-shot, periodic, or at a value of the time-stamp counter. */
export class LocalApicTimer {
  readonly state: ApicTimerState;
  readonly #time: TimerService;
  readonly #timer: Timer;
  readonly #tsc: TimeStampCounter;
  readonly #fired: () => void;

  constructor(state: ApicTimerState, time: TimerService, tsc: TimeStampCounter, name: string, fired: () => void) {
    this.state = state;
    this.#time = time;
    this.#tsc = tsc;
    this.#fired = fired;
    this.#timer = time.timer(name, () => this.#expire());
  }

  reset(): void {
    Object.assign(this.state, resetTimer());
    this.rearm();
  }

  /** Changing between TSC-deadline mode and the others disarms. */
  setMode(mode: number): void {
    const { state } = this;
    if (mode === state.mode) return;
    if (mode === TIMER_MODE.TSC_DEADLINE || state.mode === TIMER_MODE.TSC_DEADLINE) this.#disarm();
    state.mode = mode;
  }

  setDivisor(divisor: number): void {
    const { state } = this;
    const counted = state.initialCount - this.currentCount();
    state.divisor = divisor;
    if (state.running === 0) return;
    state.start = this.#time.nanoseconds() - counted * divisor;
    this.#schedule();
  }

  /** Starts the count, or stops it by zero; ignored in TSC-deadline mode. */
  setInitialCount(count: number): void {
    const { state } = this;
    if (state.mode === TIMER_MODE.TSC_DEADLINE) return;
    state.initialCount = count;
    state.running = count === 0 ? 0 : 1;
    state.start = this.#time.nanoseconds();
    this.#schedule();
  }

  currentCount(): number {
    const { state } = this;
    if (state.running === 0) return 0;
    const counted = Math.floor((this.#time.nanoseconds() - state.start) / state.divisor);
    return state.initialCount - Math.min(counted, state.initialCount);
  }

  /** WRMSR to IA32_TSC_DEADLINE: ignored outside TSC-deadline mode. A deadline that has passed fires at once. */
  setDeadline(low: number, high: number): void {
    const { state } = this;
    if (state.mode !== TIMER_MODE.TSC_DEADLINE) return;
    state.deadlineLow = low >>> 0;
    state.deadlineHigh = high >>> 0;
    this.tscChanged();
  }

  /** The counter was written or adjusted: the deadline lies elsewhere in virtual time. */
  tscChanged(): void {
    const { state } = this;
    if (state.deadlineLow === 0 && state.deadlineHigh === 0) {
      if (state.mode === TIMER_MODE.TSC_DEADLINE) this.#disarm();
      return;
    }
    state.deadline = this.#tsc.nanosecondsAt(state.deadlineLow, state.deadlineHigh);
    if (state.deadline <= this.#time.nanoseconds()) this.#expire();
    else this.rearm();
  }

  /** After the state was replaced. */
  rearm(): void {
    if (this.state.deadline === Infinity) this.#timer.disarm();
    else this.#timer.arm(this.state.deadline);
  }

  #disarm(): void {
    const { state } = this;
    state.running = 0;
    state.deadlineLow = 0;
    state.deadlineHigh = 0;
    state.deadline = Infinity;
    this.rearm();
  }

  #schedule(): void {
    const { state } = this;
    state.deadline = state.running === 0 ? Infinity : state.start + state.initialCount * state.divisor;
    this.rearm();
  }

  /** A periodic count starts anew where the old one ended, not where somebody noticed. */
  #expire(): void {
    const { state } = this;
    if (state.mode === TIMER_MODE.PERIODIC) {
      const period = state.initialCount * state.divisor;
      const late = this.#time.nanoseconds() - state.start;
      state.start += Math.max(1, Math.floor(late / period)) * period;
      this.#schedule();
    } else {
      this.#disarm();
    }
    this.#fired();
  }
}

export function resetTimer(): ApicTimerState {
  return {
    mode: TIMER_MODE.ONE_SHOT,
    initialCount: 0,
    divisor: 2,
    running: 0,
    start: 0,
    deadlineLow: 0,
    deadlineHigh: 0,
    deadline: Infinity,
  };
}
