// SPDX-License-Identifier: Apache-2.0

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { InternalError } from '../../../src/base/assert.ts';
import type { CaseInput, Outcome } from '../case.ts';
import { decodeOutcomes, encodeCases } from '../records.ts';

const SOURCE = join(import.meta.dirname, 'runner.c');
const BATCH = 16384;

/** Why the native oracle cannot run here, or undefined if it can. */
export function whyNoNative(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the native runner needs Linux on x86-64';
  if (spawnSync('gcc', ['--version']).status !== 0) return 'gcc is not installed';
  return undefined;
}

/** Path of the built runner; compiled once per source text, kept in the temporary directory. */
function runnerPath(): string {
  const digest = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16);
  const directory = join(tmpdir(), `turtles-oracle-${process.getuid?.() ?? 0}`);
  const path = join(directory, `runner-${digest}`);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fresh = `${path}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-fno-stack-protector', '-Wall', '-o', fresh, SOURCE]);
  renameSync(fresh, path);
  return path;
}

/** Runs every case on this computer's processor. */
export function runNative(cases: readonly CaseInput[]): Outcome[] {
  const outcomes: Outcome[] = [];
  const path = runnerPath();
  for (let start = 0; start < cases.length; start += BATCH) {
    for (const outcome of runBatch(path, cases.slice(start, start + BATCH))) outcomes.push(outcome);
  }
  return outcomes;
}

function runBatch(path: string, cases: readonly CaseInput[]): Outcome[] {
  const run = spawnSync(path, [], { input: encodeCases(cases), maxBuffer: 1 << 30 });
  if (run.status !== 0) {
    throw new InternalError(
      `native runner ended with ${run.signal ?? run.status}: ${run.stderr.toString()}${blame(path, cases)}`,
    );
  }
  const outcomes = decodeOutcomes(new Uint8Array(run.stdout.buffer, run.stdout.byteOffset, run.stdout.byteLength));
  if (outcomes.length !== cases.length)
    throw new InternalError(`native runner answered ${outcomes.length} of ${cases.length} cases`);
  return outcomes;
}

/** The first case that ends the runner, found by halving. */
function blame(path: string, cases: readonly CaseInput[]): string {
  let suspects = cases;
  while (suspects.length > 1) {
    const half = suspects.slice(0, suspects.length >> 1);
    const dies = spawnSync(path, [], { input: encodeCases(half), maxBuffer: 1 << 30 }).status !== 0;
    suspects = dies ? half : suspects.slice(half.length);
  }
  return ` (at ${suspects[0].form} #${suspects[0].index}, code ${Buffer.from(suspects[0].code).toString('hex')})`;
}
