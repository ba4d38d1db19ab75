// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { Timer, TimerService } from '../hardware/time.ts';

const BILLION = 1_000_000_000;

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
  toNanoseconds(ticks: number): number {
    return this.frequency === BILLION ? ticks : Math.floor((ticks * BILLION) / this.frequency);
  }
  /** The deadline, possibly a fraction, for which `toTicks` gives exactly this tick. */
  nanosecondsAt(tick: number): number {
    return this.frequency === BILLION ? tick : (tick * BILLION) / this.frequency;
  }
  /** The first tick at which `nanoseconds` has been reached (rounding of the division forgiven). */
  toTicks(nanoseconds: number): number {
    return this.frequency === BILLION
      ? Math.ceil(nanoseconds)
      : Math.ceil((nanoseconds * this.frequency) / BILLION - 1e-6);
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
