// SPDX-License-Identifier: Apache-2.0
// The file with which a run can be had again: the command line, what it booted, and the journal.

// skipLibCheck is for this file's sake: types of valibot name Blob and File, and the core folders have no DOM.
import * as v from 'valibot';
import { UserError } from '../base/errors.ts';
import type { Journal } from '../replay/journal.ts';

export type { Journal } from '../replay/journal.ts';

/** Counted up when a reader of the file would have to change. */
export const REPLAY_SCHEMA = 'turtles-replay-2';

/** How a run can be had again. */
export interface ReplayFile {
  /** Words of the command line, the command first. */
  readonly arguments: string[];
  /** What was booted on what; a replay must come to the same. Absent when nothing had been booted. */
  readonly options?: Record<string, unknown> | undefined;
  readonly journal?: Journal | undefined;
  /** Retired when the file was written. */
  readonly instructions?: number | undefined;
  /** Of our bug, if one ended the run. */
  readonly error?: string | undefined;
  readonly stack?: string[] | undefined;
  /** Version of Node. */
  readonly node: string;
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const REPLAY: v.GenericSchema<unknown, ReplayFile> = v.object({
  schema: v.literal(REPLAY_SCHEMA),
  arguments: v.array(v.string()),
  options: v.optional(v.record(v.string(), v.unknown())),
  journal: v.optional(
    v.object({
      slices: v.array(v.tuple([count, count])),
      inputs: v.array(v.object({ slice: count, console: count, bytes: v.array(count) })),
      resets: v.array(count),
    }),
  ),
  instructions: v.optional(count),
  error: v.optional(v.string()),
  stack: v.optional(v.array(v.string())),
  node: v.string(),
});

/** Text of the file. */
export function writeReplay(replay: ReplayFile): string {
  return `${JSON.stringify({ schema: REPLAY_SCHEMA, ...replay }, undefined, 1)}\n`;
}

/** Throws UserError that names the file and what is wrong in it. */
export function readReplay(bytes: Uint8Array, path: string): ReplayFile {
  const parsed = v.safeParse(REPLAY, parseJson(bytes, path));
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const where = v.getDotPath(issue) ?? 'the whole';
  throw new UserError(
    `${path} is no file to replay: ${where}: ${issue.message}`,
    'give a turtles-bug.json, or what --record wrote',
  );
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(textOf(bytes));
  } catch {
    throw new UserError(
      `${path} is no file to replay: it is no JSON`,
      'give a turtles-bug.json, or what --record wrote',
    );
  }
}

/** The file is ASCII but for error messages, whose other letters do not matter. */
function textOf(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}
