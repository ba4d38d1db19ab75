// SPDX-License-Identifier: Apache-2.0
// The loop: programs from consecutive seeds, on machines that stay, until there is enough of them.
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import type { Tamper } from './findings.ts';
import { generate } from './generate.ts';
import { Pair } from './pair.ts';
import type { Configuration, Program } from './program.ts';
import { Statistics } from './statistics.ts';
import type { Watchdog } from './watchdog.ts';

export interface FuzzOptions {
  readonly configurations: readonly Configuration[];
  readonly seed: number;
  /** Whether to go on, asked before each program. */
  readonly more: (statistics: Statistics) => boolean;
  /** Told of each program that showed something; false ends the run. */
  readonly found: (program: Program, difference: string) => boolean;
  readonly jit?: JitMode;
  readonly tamper?: Tamper;
  /** Told of each program before it runs. */
  readonly watchdog?: Watchdog;
  /** Of `of` runs that share the seed's programs this is number `number`, from 0. */
  readonly share?: { readonly number: number; readonly of: number };
}

const ALONE = { number: 0, of: 1 };

/** Every so many programs, L0's own memory and all its tables are looked at, at each exit. */
const THOROUGH = 32;
/** Programs of one configuration in a row. */
const IN_A_ROW = 50;
const SEEDS = 0x7fff_ffff;

export interface FuzzResult {
  readonly statistics: Statistics;
  /** The most accesses to memory that one exit took L0. */
  readonly mostAccesses: number;
  readonly looks: number;
}

export function fuzz({
  configurations,
  seed,
  more,
  found,
  jit = 'off',
  tamper,
  watchdog,
  share = ALONE,
}: FuzzOptions): FuzzResult {
  const statistics = new Statistics();
  const pairs = configurations.map((configuration) => new Pair(configuration, jit, tamper));
  for (let n = 0; more(statistics); n++) {
    const pair = pairs[Math.floor(n / IN_A_ROW) % pairs.length];
    const program = generate(pair.configuration, 1 + ((seed * 7919 + n * share.of + share.number) % SEEDS));
    watchdog?.begin(program, program.seed);
    const outcome = pair.run(program, n % THOROUGH === 0);
    watchdog?.rest();
    statistics.add(program, outcome);
    if (outcome.difference !== undefined && !found(program, outcome.difference)) break;
  }
  const most = (part: 'mostAccesses' | 'looks'): number => Math.max(0, ...pairs.map((pair) => pair.totals[part]));
  return { statistics, mostAccesses: most('mostAccesses'), looks: most('looks') };
}
