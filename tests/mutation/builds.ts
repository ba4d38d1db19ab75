// SPDX-License-Identifier: Apache-2.0
// Changed builds from outside: what is changed, which tests are run on it, and how it went.

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const WORKER = fileURLToPath(new URL('./build-process.ts', import.meta.url));
const ARGUMENTS = ['--disable-warning=ExperimentalWarning', '--max-old-space-size=2000'];

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
  /** Bytes in use in the process. */
  readonly heap: number;
  /** The first test that failed; `(loading)`: the file could not be loaded; `(time)` and `(process)`: it did not come to its end. */
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

/** What is used of a child process. */
interface Child {
  send(job: Job): unknown;
  kill(signal: 'SIGKILL'): unknown;
}
type Answer = (result: Omit<JobResult, 'number'>) => void;

/** Modules are never unloaded: beyond this a process makes way for another. */
const MOST_HEAP = 700e6;

/** Runs jobs one at a time, in a process that is replaced when one hangs or has filled it. */
export class Builds {
  readonly #patience: number;
  #process: Child | undefined;
  #answer: Answer = () => {};
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
    const result = await new Promise<JobResult>((resolve) => {
      const timer = setTimeout(() => this.#lost('(time)', `not done after ${this.#patience} ms`), this.#patience);
      this.#answer = (value) => {
        clearTimeout(timer);
        resolve({ ...value, number });
      };
      this.#process ??= this.#start();
      this.#process.send({ number, changed, steps, untouched });
    });
    if (result.heap > MOST_HEAP) this.close();
    return result;
  }

  close(): void {
    const child = this.#process;
    this.#process = undefined;
    child?.kill('SIGKILL');
  }

  #start(): Child {
    const child = fork(WORKER, { execArgv: ARGUMENTS, serialization: 'advanced' });
    child.on('message', (result: JobResult) => this.#answer(result));
    child.on('exit', (status) => {
      if (this.#process === child) this.#lost('(process)', `it ended with ${status}`);
    });
    return child;
  }

  /** The job in work will not answer: it has failed. */
  #lost(name: string, error: string): void {
    this.close();
    this.#answer({ tests: 0, milliseconds: 0, heap: 0, failed: { file: '', name, error } });
  }
}
