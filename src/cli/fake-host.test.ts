// SPDX-License-Identifier: Apache-2.0
// A host for tests of commands: files in memory, no terminal unless told, and what was written kept.
import { createHash } from 'node:crypto';
import { UserError } from '../base/errors.ts';
import type { Host } from '../platform/node/host.ts';
import type { TerminalOptions } from '../platform/node/terminal.ts';
import { main } from './main.ts';

/** Thrown by `exit`, which must not return. */
export class Exited extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit ${status}`);
    this.status = status;
  }
}

export class FakeHost {
  output = '';
  errors = '';
  terminal: TerminalOptions | undefined;
  restored = 0;
  readonly files = new Map<string, Uint8Array | string>();
  readonly #changes: Partial<Host>;
  /** Called in each pause: what happens outside the machine meanwhile. */
  onPause: (pauses: number) => void = () => {};
  #pauses = 0;

  constructor(changes: Partial<Host> = {}) {
    this.#changes = changes;
  }

  get host(): Host {
    const text = (content: string | Uint8Array): string =>
      typeof content === 'string' ? content : Buffer.from(content).toString('latin1');
    return {
      arguments: [],
      hasTerminal: false,
      inputIsTerminal: false,
      colours: false,
      nodeVersion: process.versions.node,
      write: (content) => void (this.output += text(content)),
      writeError: (content) => void (this.errors += content),
      readFile: (path, option) => this.#read(path, option),
      writeWhole: (path, content) => void this.files.set(path, content),
      createFile: (path) => {
        this.files.set(path, '');
        return {
          write: (content) => void this.files.set(path, String(this.files.get(path)) + text(content)),
          close: () => {},
        };
      },
      openDisk: () => {
        throw new Error('no disk in this test');
      },
      sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
      attachTerminal: (options) => {
        this.terminal = options;
        return () => void this.restored++;
      },
      imageHost: () => {
        throw new Error('no images in this test');
      },
      onInput: () => {},
      atExit: () => {},
      now: () => performance.now(),
      cpuSeconds: () => 0,
      startProfile: async () => () => ({ before: 1, mainThread: 0, otherThreads: 0, functions: [] }),
      memoryAvailable: () => Infinity,
      unixTime: () => 0,
      pause: () => this.#pause(),
      wake: () => {},
      exit: (status): never => {
        throw new Exited(status);
      },
      ...this.#changes,
    };
  }

  /** Runs a command line; returns its exit status. */
  run(...args: string[]): Promise<number> {
    return main(args, this.host);
  }

  async #pause(): Promise<void> {
    this.onPause(++this.#pauses);
    await new Promise((resolve) => void setImmediate(resolve));
  }

  #read(path: string, option: string): Uint8Array {
    const content = this.files.get(path);
    if (content instanceof Uint8Array) return content;
    throw new UserError(`cannot read ${path}: there is no such file or folder`, `give a file with ${option}`);
  }
}
