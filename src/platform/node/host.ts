// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import { wantsColours } from './console-mux.ts';
import { createGrowingFile, openDiskFile, readUserFile, writeWholeFile } from './host-files.ts';
import { nodeImageHost } from './image-host.ts';
import { startProfile } from './profiler.ts';
import { exitOnSignals } from './signals.ts';
import { attachTerminal } from './terminal.ts';

/** What the commands need of the process they are in; tests put their own in its place. */
export type Host = ReturnType<typeof nodeHost>;

/** A sleep that something else can end. */
class Pauses {
  #wake: (() => void) | undefined;

  /** Lets input, timers and signals be handled; returns after so many milliseconds, or when woken. */
  pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      if (milliseconds <= 0) return void setImmediate(resolve);
      const timer = setTimeout(() => this.wake(), milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }

  wake(): void {
    this.#wake?.();
  }
}

/** Bytes of a pipe or a file at standard input, as they come. One that cannot be read has ended. */
function onInput(listener: (bytes: Uint8Array) => void, ended: () => void): void {
  process.stdin.on('data', listener);
  process.stdin.on('end', ended);
  process.stdin.on('error', ended);
}

/** Ends quietly when nobody reads what we say: `turtles --help | head -1`. */
function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE);
      throw error;
    });
  }
}

/** This process, and the files of this computer. Signals end it with 128 + n from now on, with what is attached restored. */
export function nodeHost() {
  endWithReader();
  exitOnSignals();
  const pauses = new Pauses();
  return {
    arguments: process.argv.slice(2) as readonly string[],
    /** Both a keyboard and a screen. */
    hasTerminal: process.stdin.isTTY === true && process.stdout.isTTY === true,
    inputIsTerminal: process.stdin.isTTY === true,
    colours: wantsColours(process.stdout, process.env),
    nodeVersion: process.versions.node,
    write: (content: string | Uint8Array): void => void process.stdout.write(content),
    writeError: (text: string): void => void process.stderr.write(text),
    readFile: readUserFile,
    writeWhole: writeWholeFile,
    createFile: createGrowingFile,
    openDisk: openDiskFile,
    sha256: (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex'),
    attachTerminal,
    imageHost: nodeImageHost,
    onInput,
    atExit: (action: () => void): void => void process.on('exit', action),
    /** Milliseconds of wall clock, from any origin. */
    now: (): number => performance.now(),
    /** Processor time of this process and its threads, in seconds. */
    cpuSeconds: (): number => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    /** Samples where this thread is; what is returned ends that and says it. */
    startProfile,
    /** Bytes that this computer, or the container we are in, still has. */
    memoryAvailable: (): number => process.availableMemory(),
    unixTime: (): number => Math.floor(Date.now() / 1000),
    pause: (milliseconds: number): Promise<void> => pauses.pause(milliseconds),
    wake: (): void => pauses.wake(),
    exit: (status: number): never => process.exit(status),
  };
}
