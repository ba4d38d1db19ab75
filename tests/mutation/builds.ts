// SPDX-License-Identifier: Apache-2.0
// Changed builds from outside: what is changed, which tests are run on it, and how it went.

import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A change of a source: `find` is there exactly once. `file`: from the root. */
export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Step {
  /** Absolute path of a test file. */
  readonly file: string;
  /** Suites and test joined by ' > '; absent: all tests of the file. */
  readonly name?: string;
}

export interface Job {
  readonly number: number;
  /** By absolute path, the changed sources. */
  readonly changed: ReadonlyMap<string, string>;
  readonly steps: readonly Step[];
  /** Test files that cannot see a change are run all the same, or not. */
  readonly untouched: 'run' | 'skip';
}

export interface JobResult {
  readonly number: number;
  readonly tests: number;
  readonly milliseconds: number;
  /** Bytes in use in the thread. */
  readonly heap: number;
  /** The first test that failed; `(loading)`: the file could not be loaded; `(time)`: it did not come to an end. */
  readonly failed?: { readonly file: string; readonly name: string; readonly error: string };
}

const texts = new Map<string, string>();

/** A source on disk, by its path from the root. */
export function sourceText(file: string): string {
  let text = texts.get(file);
  if (text === undefined) texts.set(file, (text = readFileSync(join(ROOT, file), 'utf8')));
  return text;
}

/** The sources that patches change, by absolute path. Throws when a text is not there exactly once. */
export function patched(patches: readonly Patch[]): Map<string, string> {
  const changed = new Map<string, string>();
  for (const { file, find, replace } of patches) {
    const path = join(ROOT, file);
    const source = changed.get(path) ?? sourceText(file);
    const times = source.split(find).length - 1;
    if (times !== 1) throw new Error(`${file}: expected once, found ${times} times: ${JSON.stringify(find)}`);
    changed.set(
      path,
      source.replace(find, () => replace),
    );
  }
  return changed;
}

export const inRoot = (file: string): string => join(ROOT, file);
export const fromRoot = (path: string): string => relative(ROOT, path);

/** Modules are never unloaded: beyond this a thread makes way for another. */
const MOST_HEAP = 700e6;

/** Runs jobs one at a time, in a thread that is replaced when one hangs or has filled it. */
export class Builds {
  readonly #patience: number;
  #worker: Worker | undefined;
  #number = 0;

  /** `patience`: milliseconds after which a job counts as hanging. */
  constructor(patience = 60_000) {
    this.#patience = patience;
  }

  async run(
    changed: ReadonlyMap<string, string>,
    steps: readonly Step[],
    untouched: Job['untouched'] = 'run',
  ): Promise<JobResult> {
    const number = ++this.#number;
    const worker = (this.#worker ??= new Worker(new URL('./build-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 2000 },
      execArgv: ['--disable-warning=ExperimentalWarning'],
    }));
    const result = await new Promise<JobResult>((resolve) => {
      const done = (value: JobResult): void => {
        clearTimeout(timer);
        worker.off('message', done);
        worker.off('error', broken);
        resolve(value);
      };
      const lost = (name: string, error: string): void => {
        this.#worker = undefined;
        void worker.terminate();
        done({ number, tests: 0, milliseconds: 0, heap: 0, failed: { file: steps[0]?.file ?? '', name, error } });
      };
      const timer = setTimeout(() => lost('(time)', `not done after ${this.#patience} ms`), this.#patience);
      const broken = (error: Error): void => lost('(thread)', String(error));
      worker.on('message', done);
      worker.on('error', broken);
      worker.postMessage({ number, changed, steps, untouched } satisfies Job);
    });
    if (result.heap > MOST_HEAP) await this.close();
    return result;
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
