// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { Timer, TimerService } from '../hardware/time.ts';

const BILLION = 1_000_000_000;
/** Of a tick, and as a share of the tick's number: what a multiplication and two divisions may lose. */
const LEAST_ROUNDING = 1e-6;
const ROUNDING = 2 ** -50;

class ScheduledTimer implements Timer {
  deadline = Infinity;
  readonly name: string;
  readonly expired: () => void;
  private readonly schedule: Schedule;

  constructor(name: string, expired: () => void, schedule: Schedule) {
    this.name = name;
    this.expired = expired;
    this.schedule = schedule;
  }
  arm(deadline: number): void {
    this.deadline = deadline;
    this.schedule.deadlineMoved(deadline);
  }
  disarm(): void {
    this.deadline = Infinity;
  }
}

/**
 * Virtual time: ticks of the stated frequency, which are retired instructions and skipped idleness. Timers are rows
 * with deadlines in nanoseconds; each fires at the first tick that is not before it.
 */
export class Schedule implements TimerService {
  readonly frequency: number;
  /** The tick at which nobody runs, or the clock of the processor that does. */
  now: () => number = () => 0;
  /** Told when a deadline may have come closer than the run that is under way. */
  reschedule: () => void = () => {};
  private readonly timers: ScheduledTimer[] = [];

  constructor(frequency: number) {
    this.frequency = frequency;
  }

  nanoseconds(): number {
    return this.toNanoseconds(this.now());
  }
  /** Whole nanoseconds, rounded down; by seconds and the rest, so that a long run does not lose the last digits. */
  toNanoseconds(ticks: number): number {
    const { frequency } = this;
    if (frequency === BILLION) return ticks;
    const seconds = Math.floor(ticks / frequency);
    return seconds * BILLION + Math.floor(((ticks - seconds * frequency) * BILLION) / frequency);
  }
  /**
   * The first tick at which `nanoseconds` has been reached. A fraction is a tick that somebody divided by the frequency
   * (rounding forgiven): it gives that tick again. When a whole number's tick comes, `nanoseconds()` says at least it.
   */
  toTicks(nanoseconds: number): number {
    const whole = Number.isInteger(nanoseconds);
    if (whole && this.frequency === BILLION) return nanoseconds;
    const ticks = (nanoseconds * this.frequency) / BILLION;
    const first = Math.max(0, Math.ceil(ticks - Math.max(LEAST_ROUNDING, ticks * ROUNDING)));
    return whole && this.toNanoseconds(first) < nanoseconds ? first + 1 : first;
  }

  timer(name: string, expired: () => void): Timer {
    assert(!this.timers.some((t) => t.name === name), `one timer named ${name}`);
    const timer = new ScheduledTimer(name, expired, this);
    this.timers.push(timer);
    return timer;
  }

  deadlineMoved(deadline: number): void {
    if (deadline !== Infinity) this.reschedule();
  }

  /** Tick of the next deadline, Infinity when there is none. */
  nextDeadline(): number {
    let next = Infinity;
    for (const timer of this.timers) if (timer.deadline < next) next = timer.deadline;
    return next === Infinity ? Infinity : this.toTicks(next);
  }

  /** Fires what is due at this tick, earliest first; what that arms for now or before fires too. */
  fireDue(tick: number): void {
    for (let due = this.earliest(tick); due !== undefined; due = this.earliest(tick)) {
      due.deadline = Infinity;
      due.expired();
    }
  }

  private earliest(tick: number): ScheduledTimer | undefined {
    let found: ScheduledTimer | undefined;
    for (const timer of this.timers) {
      if (
        timer.deadline !== Infinity &&
        this.toTicks(timer.deadline) <= tick &&
        (found === undefined || timer.deadline < found.deadline)
      )
        found = timer;
    }
    return found;
  }
}
