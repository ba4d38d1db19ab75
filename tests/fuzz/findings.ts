// SPDX-License-Identifier: Apache-2.0
// A finding as a file: the program, small, and what was seen. `--replay FILE` runs it again.
import { readFileSync, writeFileSync } from 'node:fs';
import { UserError } from '../../src/base/errors.ts';
import { Pair } from './pair.ts';
import { CONFIGURATIONS } from './program.ts';
import type { Program } from './program.ts';
import { shrink } from './shrink.ts';
import type { L0Side } from './machines.ts';

const FORMAT = 'turtles-fuzz-1';

export interface Finding {
  readonly format: string;
  /** What differed, or what L0 did that it must not. */
  readonly difference: string;
  readonly program: Program;
}

/** What makes two findings the same while one is made smaller: the message without what depends on place and value. */
export function kindOf(difference: string): string {
  return difference
    .replace(/^record \d+, step \d+ \([^)]*\)/, 'record')
    .replace(/, an? (exit|event) by [^:]*: /, ', $1: ')
    .replace(/memory at .*/, 'memory')
    .replace(/\b[0-9a-f]+ (bare|under L0|on the bare machine)/g, '$1');
}

export type Tamper = (side: L0Side) => void;

/** What is seen when a program runs alone on new machines; undefined: nothing. */
export function runAlone(program: Program, tamper?: Tamper): string | undefined {
  return new Pair(program, 'off', tamper).run(program, true).difference;
}

/** Without the steps behind the one that the message names, if that still shows it. */
function upToIt(program: Program, difference: string, fails: (program: Program) => boolean): Program {
  const step = /^record \d+, step (\d+)/.exec(difference);
  const cut = { ...program, steps: program.steps.slice(0, Number(step?.[1] ?? program.steps.length) + 1) };
  return fails(cut) ? cut : program;
}

/**
 * Makes a program smaller that shows `difference` by itself, by at most so many attempts; undefined when it does not show
 * it.
 */
export function shrunk(
  program: Program,
  difference: string,
  tamper?: Tamper,
  mostAttempts = 1500,
): Finding | undefined {
  const kind = kindOf(difference);
  const configuration = { profile: program.profile, paging: program.paging };
  let pair = new Pair(configuration, 'off', tamper, true);
  let seen = difference;
  let attempts = 0;
  const failsWith =
    (thorough: boolean) =>
    (smaller: Program): boolean => {
      if (++attempts > mostAttempts) return false;
      const outcome = pair.run(smaller, thorough);
      if (outcome.difference === undefined || kindOf(outcome.difference) !== kind) return false;
      seen = outcome.difference;
      return true;
    };
  // Looking at all of L0 at each exit takes long, and few findings need it.
  const thorough = !failsWith(false)(program);
  const fails = failsWith(thorough);
  if (!fails(program)) return undefined;
  const small = shrink(upToIt(program, difference, fails), fails);
  pair = new Pair(configuration, 'off', tamper);
  attempts = 0;
  return fails(small) ? { format: FORMAT, difference: seen, program: small } : { format: FORMAT, difference, program };
}

const BIG = /^(-?\d+)n$/;

export function writeFinding(path: string, finding: Finding): void {
  const text = JSON.stringify(finding, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value), 1);
  // Bytes of one patch or step on one line.
  writeFileSync(
    path,
    `${text.replace(/\[\s+(\d+(?:,\s+\d+)*)\s+\]/g, (_, bytes: string) => `[${bytes.replace(/\s+/g, '')}]`)}\n`,
  );
}

export function readFinding(path: string): Finding {
  let finding: Finding;
  try {
    finding = JSON.parse(readFileSync(path, 'utf8'), (_, value: unknown) => {
      const big = typeof value === 'string' ? BIG.exec(value) : null;
      return big === null ? value : BigInt(big[1]);
    }) as Finding;
  } catch (error) {
    throw new UserError(
      `${path} cannot be read as a finding: ${(error as Error).message}`,
      'Give a file that `npm run fuzz` wrote.',
    );
  }
  if (finding.format !== FORMAT)
    throw new UserError(`${path} is not a finding of this version`, `Its "format" must be ${FORMAT}.`);
  return finding;
}

/** A new configuration of machines for each of these, in turn. */
export const configurationsOf = (profile?: string, paging?: string): typeof CONFIGURATIONS =>
  CONFIGURATIONS.filter((row) => (profile ?? row.profile) === row.profile && (paging ?? row.paging) === row.paging);
