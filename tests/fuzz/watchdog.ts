// SPDX-License-Identifier: Apache-2.0
// Bounded work is counted in accesses to memory; a loop without any is seen from another thread. It ends the process, for
// nothing else could, and leaves the program as a file that replays.
import { mkdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { writeFinding } from './findings.ts';
import { generate } from './generate.ts';
import { CONFIGURATIONS } from './program.ts';
import type { Configuration } from './program.ts';

const LOOKS = 4;
const STANDARD_OUTPUT = 1;

interface Watched {
  /** Number of the present program, 0 for none; its configuration and seed. */
  readonly now: Int32Array<SharedArrayBuffer>;
  readonly seconds: number;
  readonly out: string;
}

/** Watches the thread that made it. */
export class Watchdog {
  private readonly now = new Int32Array(new SharedArrayBuffer(12));
  private readonly worker: Worker;
  private count = 0;

  /** A program may take so many `seconds`; the file of one that takes longer goes to `out`. */
  constructor(seconds: number, out: string) {
    const watched: Watched = { now: this.now, seconds, out };
    this.worker = new Worker(new URL(import.meta.url), { workerData: watched });
    this.worker.unref();
  }

  begin({ profile, paging }: Configuration, seed: number): void {
    const index = CONFIGURATIONS.findIndex((row) => row.profile === profile && row.paging === paging);
    Atomics.store(this.now, 1, index);
    Atomics.store(this.now, 2, seed);
    Atomics.store(this.now, 0, ++this.count);
  }

  /** What takes long now is no program. */
  rest(): void {
    Atomics.store(this.now, 0, 0);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

function watch({ now, seconds, out }: Watched): void {
  let begun = 0;
  let looks = 0;
  setInterval(
    () => {
      const count = Atomics.load(now, 0);
      looks = count === begun ? looks + 1 : 0;
      begun = count;
      if (count > 0 && looks >= LOOKS) tell(CONFIGURATIONS[Atomics.load(now, 1)], Atomics.load(now, 2), seconds, out);
    },
    (1000 * seconds) / LOOKS,
  );
}

function tell(configuration: Configuration, seed: number, seconds: number, out: string): never {
  const difference = `a program takes more than ${seconds} s`;
  mkdirSync(out, { recursive: true });
  const path = join(out, `finding-${configuration.profile}-${configuration.paging}-${seed}.json`);
  writeFinding(path, { format: 'turtles-fuzz-1', difference, program: generate(configuration, seed) });
  // The thread that prints for all hangs.
  writeSync(STANDARD_OUTPUT, `\nfinding: ${difference}; again: npm run fuzz -- --replay ${path}\n`);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('the process has ended');
}

if (!isMainThread) watch(workerData as Watched);
