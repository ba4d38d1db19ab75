// SPDX-License-Identifier: Apache-2.0
import { InternalError } from '../base/assert.ts';
import { UserError } from '../base/errors.ts';
import type { Host } from '../platform/node/host.ts';
import { writeReplay } from '../system/replay-file.ts';
import type { Journal } from '../system/replay-file.ts';
import { grouped } from '../system/quantities.ts';
import { STATUS } from './statuses.ts';

/** What is known of a run when it fails, for the file that replays it. */
export interface RunState {
  /** What was booted on what: any JSON. */
  readonly options: object;
  readonly instructions: () => number;
  readonly journal: () => Journal;
}

const REPLAY_FILE = 'turtles-bug.json';

/** Turns what was thrown into a message and an exit status. */
export class Failures {
  /** Set once a machine runs. */
  run: RunState | undefined;
  readonly #host: Host;
  readonly #program: string;
  readonly #arguments: readonly string[];

  constructor(host: Host, program: string, args: readonly string[]) {
    this.#host = host;
    this.#program = program;
    this.#arguments = args;
  }

  /** Says what happened on standard error; returns the exit status. */
  report(error: unknown): number {
    const user = error instanceof UserError ? error : asUserError(error);
    if (user === undefined) return this.#ourBug(error instanceof Error ? error : new InternalError(String(error)));
    this.#host.writeError(`${this.#program}: ${user.message}\n  ${user.hint}\n`);
    return STATUS.failed;
  }

  #ourBug(error: Error): number {
    const instructions = this.run?.instructions();
    const where = instructions === undefined ? 'before the machine ran' : `after ${grouped(instructions)} instructions`;
    this.#host.writeError(
      `${this.#program}: a bug of ours, not of the guest or yours, ${where}: ${error.message}\n  ${this.#save(error)}\n`,
    );
    return STATUS.ourBug;
  }

  /** Writes the run so far to a file that `turtles replay` takes. Throws UserError. */
  record(path: string): void {
    this.#host.writeWhole(path, writeReplay(this.#recorded()), '--record');
  }

  #recorded(): Parameters<typeof writeReplay>[0] {
    const { run } = this;
    return {
      arguments: [...this.#arguments],
      options: run && (JSON.parse(JSON.stringify(run.options)) as Record<string, unknown>),
      instructions: run?.instructions(),
      journal: run && run.journal(),
      node: this.#host.nodeVersion,
    };
  }

  /** Leaves a file that says how to get there again. */
  #save(error: Error): string {
    const replay = {
      ...this.#recorded(),
      error: error.message,
      stack: error.stack
        ?.split('\n')
        .slice(1)
        .map((line) => line.trim()),
    };
    try {
      this.#host.writeWhole(REPLAY_FILE, writeReplay(replay), 'another folder');
      return `turtles replay ${REPLAY_FILE} repeats it: send that file with the report`;
    } catch (cannotWrite) {
      return `what repeats it could not be saved: ${(cannotWrite as Error).message}`;
    }
  }
}

/** What the computer refuses, and the user can help. */
function asUserError(error: unknown): UserError | undefined {
  if (error instanceof RangeError && /allocate memory/i.test(error.message)) {
    return new UserError(
      'this computer does not give enough memory for the machine',
      'give the machine less with --memory (-m)',
    );
  }
  return undefined;
}
