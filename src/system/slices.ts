// SPDX-License-Identifier: Apache-2.0

/** What is run: a machine with its devices, or a test's. */
export interface Runnable {
  /** Ticks since power-on. */
  readonly ticks: number;
  /** Virtual nanoseconds since power-on. */
  readonly nanoseconds: number;
  /** Instructions since power-on. */
  readonly instructions: number;
  /** Runs until so many ticks since power-on. */
  run(ticks: number): 'limit' | 'idle' | 'ended';
}

/** What the loop needs of the computer. */
export interface RunClock {
  /** Milliseconds, from any origin. */
  now(): number;
  /** Lets input and signals be handled; returns after so many milliseconds, or earlier when there is input. */
  pause(milliseconds: number): Promise<void>;
}

export interface SliceOptions {
  /** Ticks of each slice; undefined: as many as take about `TARGET` milliseconds. */
  readonly slice?: number | undefined;
  /** Idle virtual time takes as long as it would: somebody sits at a terminal. Otherwise it is skipped. */
  readonly realTime: boolean;
  /** Input may come and end an idleness that nothing else ends. */
  readonly awaitsInput: () => boolean;
  /** Milliseconds of wall clock after which the run is given up. */
  readonly timeout?: number | undefined;
  /** Before each slice: hand in what was typed. */
  readonly before: () => void;
  /** After each slice: show what was said. True ends the run. */
  readonly after: () => boolean;
  /** After each slice: whether the guest goes in circles. True ends the run. */
  readonly wedged?: (() => boolean) | undefined;
}

/** Why the loop ended: the guest did, `after` or `wedged` said so, time is up, or all processors wait for what does not come. */
export type SlicesEnd = 'ended' | 'stopped' | 'timeout' | 'idle' | 'wedged';

/** Host milliseconds of a slice: short enough for keys and signals. */
const TARGET = 25;
const FIRST_SLICE = 1_000_000;
const SMALLEST_SLICE = 50_000;
const LARGEST_SLICE = 100_000_000;
/** Of virtual time, while it must keep to the wall clock: 5 ms. */
const REAL_TIME_NANOSECONDS = 5_000_000;
/** How far virtual time may be ahead of the wall clock, in milliseconds. */
const LEAD = 2;
const INPUT_POLL = 1000;
/** Timers tick, but no processor has executed anything for so long: nothing is going to wake one. In virtual time, 1000 s. */
const ASLEEP_NANOSECONDS = 1e12;

/** Runs slice after slice. How they are cut cannot be seen by the guest. */
export async function runSlices(machine: Runnable, clock: RunClock, options: SliceOptions): Promise<SlicesEnd> {
  const started = clock.now();
  let slice = options.slice ?? FIRST_SLICE;
  let lead = 0;
  let awake = { instructions: -1, nanoseconds: 0 };
  for (;;) {
    options.before();
    const [began, virtual, ticks] = [clock.now(), machine.nanoseconds, machine.ticks];
    const outcome = machine.run(ticks + slice);
    const stop = options.after();
    if (machine.instructions !== awake.instructions)
      awake = { instructions: machine.instructions, nanoseconds: machine.nanoseconds };
    const idle = outcome === 'idle' || machine.nanoseconds - awake.nanoseconds > ASLEEP_NANOSECONDS;
    if (outcome === 'ended') return 'ended';
    if (stop) return 'stopped';
    if (options.timeout !== undefined && clock.now() - started >= options.timeout) return 'timeout';
    if (idle && !options.awaitsInput()) return 'idle';
    if (options.wedged?.()) return 'wedged';
    const passed = machine.nanoseconds - virtual;
    slice = options.slice ?? nextSlice(slice, clock.now() - began, options.realTime ? passed : 0);
    lead = Math.max(0, lead + passed / 1e6 - (clock.now() - began));
    const wait = idle ? INPUT_POLL : options.realTime && lead > LEAD ? lead : 0;
    const before = clock.now();
    await clock.pause(wait);
    lead = Math.max(0, lead - (clock.now() - before));
  }
}

/** Twice as many ticks after a short slice, half as many after a long one; in real time also by the virtual time that passed. */
function nextSlice(slice: number, milliseconds: number, virtual: number): number {
  if (milliseconds > 2 * TARGET || virtual > 2 * REAL_TIME_NANOSECONDS)
    return Math.max(SMALLEST_SLICE, Math.floor(slice / 2));
  if (milliseconds < TARGET / 2 && virtual < REAL_TIME_NANOSECONDS) return Math.min(LARGEST_SLICE, slice * 2);
  return slice;
}
