// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runSlices } from './slices.ts';
import type { Runnable, SliceOptions } from './slices.ts';

/** A machine whose tick is a nanosecond: `cost` host milliseconds for each tick it executes, none for those it skips. */
class FakeMachine implements Runnable {
  ticks = 0;
  instructions = 0;
  readonly slices: number[] = [];
  readonly wall = { now: 0 };
  paused: number[] = [];
  /** Called at the end of each slice: 'idle' when nothing is left to do. */
  state: (machine: FakeMachine) => 'limit' | 'idle' | 'ended' = () => 'limit';
  /** Share of the ticks that are executed. */
  busy = 1;
  millisecondsPerTick = 0;
  onPause: (wait: number) => number = (wait) => wait;

  get nanoseconds(): number {
    return this.ticks;
  }
  run(limit: number): 'limit' | 'idle' | 'ended' {
    const passed = limit - this.ticks;
    const outcome = this.state(this);
    this.slices.push(passed);
    if (outcome === 'idle') return outcome;
    this.ticks = limit;
    this.instructions += passed * this.busy;
    this.wall.now += passed * this.busy * this.millisecondsPerTick;
    return outcome;
  }
  readonly clock = {
    now: () => this.wall.now,
    pause: async (wait: number) => {
      this.paused.push(wait);
      this.wall.now += this.onPause(wait);
      await Promise.resolve();
    },
  };
}

const options = (changes: Partial<SliceOptions> = {}): SliceOptions => ({
  realTime: false,
  awaitsInput: () => false,
  before: () => {},
  after: () => false,
  ...changes,
});
const SECOND = 1e9;
const untilTick = (end: number) => (machine: FakeMachine) => (machine.ticks >= end ? 'ended' : 'limit');

describe('runSlices', () => {
  it('cuts slices of about 25 milliseconds, and exactly as told', async () => {
    const machine = new FakeMachine();
    machine.millisecondsPerTick = 1e-5;
    machine.state = untilTick(3e8);
    assert.equal(await runSlices(machine, machine.clock, options()), 'ended');
    const last = machine.slices.at(-2)! * machine.millisecondsPerTick;
    assert.ok(last > 10 && last < 60, `${last} ms`);
    const told = new FakeMachine();
    told.state = untilTick(7000);
    await runSlices(told, told.clock, options({ slice: 1000 }));
    assert.deepEqual(told.slices, Array(8).fill(1000));
  });

  it('skips idle time in batch, and keeps to the wall clock at a terminal', async () => {
    for (const realTime of [false, true]) {
      const machine = new FakeMachine();
      machine.busy = 1e-9;
      machine.state = untilTick(SECOND);
      await runSlices(machine, machine.clock, options({ realTime }));
      if (realTime) assert.ok(machine.wall.now > 950 && machine.wall.now < 1100, `${machine.wall.now} ms for a second`);
      else assert.equal(machine.wall.now, 0);
    }
  });

  it('does not catch up idle time that was lost while the guest was busy', async () => {
    const machine = new FakeMachine();
    machine.millisecondsPerTick = 1e-5; // ten times slower than the wall clock
    machine.state = (self) => {
      if (self.ticks > SECOND / 10) self.busy = 1e-9;
      return self.ticks >= SECOND ? 'ended' : 'limit';
    };
    await runSlices(machine, machine.clock, options({ realTime: true }));
    assert.ok(machine.wall.now > 1850 && machine.wall.now < 2100, `${machine.wall.now} ms`);
  });

  it('waits for input when all is idle, and ends when none can come', async () => {
    const machine = new FakeMachine();
    let typed = false;
    machine.state = () => (typed ? 'ended' : 'idle');
    machine.onPause = () => ((typed = true), 3);
    assert.equal(await runSlices(machine, machine.clock, options({ awaitsInput: () => true })), 'ended');
    assert.deepEqual(machine.paused, [1000]);
    typed = false;
    assert.equal(await runSlices(machine, machine.clock, options()), 'idle');
  });

  it('ends when timers tick but no processor has run for a thousand virtual seconds', async () => {
    const machine = new FakeMachine();
    machine.busy = 0;
    assert.equal(await runSlices(machine, machine.clock, options()), 'idle');
    assert.ok(machine.ticks > 1000 * SECOND && machine.ticks < 1100 * SECOND);
  });

  it('ends by the wall clock, and when told', async () => {
    const machine = new FakeMachine();
    machine.millisecondsPerTick = 1e-5;
    assert.equal(await runSlices(machine, machine.clock, options({ timeout: 100 })), 'timeout');
    assert.ok(machine.wall.now >= 100 && machine.wall.now < 200);
    let slices = 0;
    assert.equal(await runSlices(machine, machine.clock, options({ after: () => ++slices === 3 })), 'stopped');
  });
});
