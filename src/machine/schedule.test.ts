// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ACTIVITY } from './cpu/run-loop.ts';
import { STATE } from './cpu/state.ts';
import { Machine } from './machine.ts';
import { Schedule } from './schedule.ts';

const BILLION = 1_000_000_000;
const FREQUENCIES = [1e9, 3e9, 2.5e9, 2.1e9, 100e6, 1e6, 3_579_545];
/** Virtual seconds that a run may take: hours, or a minute where a nanosecond divides no tick evenly. */
const longest = (frequency: number): number => (frequency % 1e6 === 0 ? 10_000 : 60);

/** A schedule whose clock is moved by hand. */
function manual(frequency = BILLION) {
  const clock = { tick: 0 };
  const schedule = new Schedule(frequency);
  schedule.now = () => clock.tick;
  return { clock, schedule };
}

describe('ticks and nanoseconds', () => {
  for (const frequency of FREQUENCIES) {
    const schedule = new Schedule(frequency);

    it(`a tick divided by ${frequency} Hz is found again`, () => {
      const tick = fc.integer({ min: 0, max: frequency * longest(frequency) });
      fc.assert(
        fc.property(tick, (t) => assert.equal(schedule.toTicks((t * BILLION) / frequency), t)),
        { seed: 1, numRuns: 1000 },
      );
    });

    it(`a whole nanosecond's tick at ${frequency} Hz is the first that is not before it`, () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 10_000_000_000_000 }), (nanoseconds) => {
          const found = schedule.toTicks(nanoseconds);
          const exact = (BigInt(nanoseconds) * BigInt(frequency) + BigInt(BILLION - 1)) / BigInt(BILLION);
          // A frequency that does not divide evenly may round a tick away, but never tells a time before the deadline.
          assert.ok(Math.abs(found - Number(exact)) <= (frequency % 1e6 === 0 ? 0 : 1));
          assert.ok(schedule.toNanoseconds(found) >= nanoseconds);
        }),
      );
    });
  }

  it('a tick of 3 GHz is a third of a nanosecond', () => {
    const schedule = new Schedule(3e9);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((t) => schedule.toNanoseconds(t)),
      [0, 0, 0, 1, 1],
    );
    assert.deepEqual(
      [0, 1, 2].map((n) => schedule.toTicks(n)),
      [0, 3, 6],
    );
  });
});

describe('timers', () => {
  it('fire in the order of their deadlines, once, and what that arms for now fires too', () => {
    const { schedule } = manual();
    const fired: string[] = [];
    const late = schedule.timer('late', () => fired.push('late'));
    const chained = schedule.timer('chained', () => fired.push('chained'));
    const early = schedule.timer('early', () => {
      fired.push('early');
      chained.arm(15);
    });
    late.arm(20);
    early.arm(10);
    assert.equal(schedule.nextDeadline(), 10);
    schedule.fireDue(9);
    assert.deepEqual(fired, []);
    schedule.fireDue(20);
    assert.deepEqual(fired, ['early', 'chained', 'late']);
    schedule.fireDue(1000);
    assert.equal(fired.length, 3);
    assert.equal(schedule.nextDeadline(), Infinity);
  });

  it('do not fire when disarmed, and names are unique', () => {
    const { schedule } = manual();
    const timer = schedule.timer('a', () => assert.fail('disarmed'));
    timer.arm(5);
    timer.disarm();
    schedule.fireDue(10);
    assert.throws(() => schedule.timer('a', () => {}), /one timer named a/);
  });

  it('ask for the run to be worked out again when armed, not when disarmed', () => {
    const { schedule } = manual();
    let asked = 0;
    schedule.reschedule = () => void asked++;
    const timer = schedule.timer('a', () => {});
    timer.arm(5);
    timer.disarm();
    assert.equal(asked, 1);
  });
});

describe('timers of a machine that runs', () => {
  /** A processor in real mode that executes `jmp $` for ever. */
  function looping(frequencyHz: number): Machine {
    const machine = new Machine(
      { processors: 1, ramBytes: 1 << 20, hole: 0xc0000000, frequencyHz, seed: 1 },
      { acknowledge: () => 0xff },
    );
    machine.memory.write(0x1000, Uint8Array.of(0xeb, 0xfe));
    const { cpu } = machine.processors[0];
    cpu.setSegment(1, 0, 0, 0xffff, 0x9b);
    cpu.rip = 0x1000;
    cpu.modeChanged();
    machine.processors[0].activate();
    return machine;
  }

  for (const [frequency, tickOfDeadline] of [
    [1e9, 1000],
    [3e9, 3000],
    [3_579_545, 4],
  ] as const) {
    it(`fire at an exact tick at ${frequency} Hz, whatever the slices`, () => {
      for (const slice of [1, 7, 1_000_000]) {
        const machine = looping(frequency);
        const seen: number[] = [];
        const timer = machine.schedule.timer('t', () => {
          seen.push(machine.ticks);
          if (seen.length === 1) timer.arm(2000);
        });
        timer.arm(1000);
        while (seen.length < 2) machine.run(machine.ticks + slice);
        assert.deepEqual(seen, [tickOfDeadline, machine.schedule.toTicks(2000)]);
        assert.equal(machine.instructions, machine.ticks);
      }
    });
  }

  it('wake nobody: a halted machine skips to the deadline without instructions', () => {
    const machine = looping(BILLION);
    machine.memory.write(0x1000, Uint8Array.of(0xf4));
    let at = 0;
    machine.schedule.timer('t', () => (at = machine.ticks)).arm(123_456);
    machine.run(200_000);
    assert.equal(at, 123_456);
    assert.equal(machine.instructions, 1);
  });
});

describe('the VMX-preemption timer of a guest that waits', () => {
  it('wakes it, but not from wait-for-SIPI, where time goes on', () => {
    const machine = new Machine(
      { processors: 1, ramBytes: 1 << 20, hole: 0xc0000000, frequencyHz: 1e9, seed: 1, vmxProfile: 'modern-1' },
      { acknowledge: () => 0xff },
    );
    const [unit] = machine.processors;
    assert.ok(unit.vmx);
    unit.vmx.state.nonRoot = true;
    unit.vmx.state.preemptionDeadline = 5;
    for (const [activity, deadline] of [
      [ACTIVITY.halted, 5],
      [ACTIVITY.shutdown, 5],
      [ACTIVITY.waitForSipi, Infinity],
    ]) {
      unit.cpu.set32(STATE.activity, activity);
      assert.equal(unit.deadline, deadline);
    }
    assert.equal(machine.run(100).kind, 'idle');
  });
});
