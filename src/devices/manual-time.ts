// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { Timer, TimerService } from '../hardware/time.ts';

/** Virtual time that moves only when told to: what the tests of the devices run on. */
export class ManualTime implements TimerService {
  #now = 0;
  readonly #timers = new Map<string, Timer & { readonly expired: () => void }>();

  nanoseconds(): number {
    return this.#now;
  }

  timer(name: string, expired: () => void): Timer {
    assert(!this.#timers.has(name), `two timers are called ${name}`);
    const timer = {
      deadline: Infinity,
      expired,
      arm(deadline: number) {
        this.deadline = deadline;
      },
      disarm() {
        this.deadline = Infinity;
      },
    };
    this.#timers.set(name, timer);
    return timer;
  }

  /** The earliest deadline, Infinity when nothing is armed. */
  nextDeadline(): number {
    return Math.min(Infinity, ...[...this.#timers.values()].map((timer) => timer.deadline));
  }

  /** Moves to an absolute time, and calls every timer due on the way at its own deadline. */
  advanceTo(nanoseconds: number): void {
    for (let next = this.nextDeadline(); next <= nanoseconds; next = this.nextDeadline()) {
      this.#now = Math.max(this.#now, next);
      const due = [...this.#timers.values()].find((timer) => timer.deadline === next);
      assert(due !== undefined, 'a deadline without a timer');
      due.disarm();
      due.expired();
    }
    this.#now = Math.max(this.#now, nanoseconds);
  }

  advance(nanoseconds: number): void {
    this.advanceTo(this.#now + nanoseconds);
  }

  /** Moves time without calling anybody: what a host that answers late would look like. */
  jumpTo(nanoseconds: number): void {
    this.#now = nanoseconds;
  }
}
