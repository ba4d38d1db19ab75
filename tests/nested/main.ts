// SPDX-License-Identifier: Apache-2.0
// `npm run test:transparency`: what `npm test` compares of the machine itself and L0, and what came of it; the small L1s
// also with the other paging scheme, in short slices. Words after `--`: `small` for them only, `debian` for Debian's KVM.
import { EXIT_REASONS } from '../../src/arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../src/arch/vmx/exit-reasons.ts';
import { PROFILE_NAMES } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import type { Paging } from '../../src/l0/nested/capabilities.ts';
import { mainGuest } from '../boot/main-job.ts';
import { compare, tableOf } from '../boot/transparency.ts';
import { BitErrorWatch, everyBit } from './bit-errors.ts';
import { ALL_CASES } from './scripted/all-cases.ts';
import { programOf } from './scripted/case.ts';
import type { Case } from './scripted/case.ts';
import { IMPOSSIBLE } from './scripted/reasons.ts';
import { compareUnderL0, runBare } from './scripted/run.ts';
import { withEpt } from './scripted/variants.ts';

const MAIN_JOBS: readonly (readonly [ProfileName, Paging])[] = [
  ['modern-1', 'multi-dimensional'],
  ['paper-1', 'multi-dimensional'],
  ['modern-1', 'shadow-on-ept'],
];
const SEED = 1;
/** Ticks: how L0's runs are cut up where the bare ones are not. */
const SLICE = 97;

/** Exits of the small L1s, by reason and profile. */
type Counts = Map<ExitReasonName, Map<ProfileName, number>>;
let failed = 0;
let exits = 0;
let errors = 0;

function attempt(what: string, run: () => string): void {
  const began = performance.now();
  try {
    const outcome = run();
    console.log(`ok      ${what}: ${outcome}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${what}\n${error instanceof Error ? error.message : String(error)}`);
  }
}

/** One case on one profile, and a one-bit error in each bit of each field under way. */
function small(each: Case, profile: ProfileName, slice: number | undefined, counts: Counts): string {
  const program = programOf(each, profile);
  const bare = runBare(program);
  if (bare.order.join() !== each.exits.join()) throw new Error(`exits: ${bare.order.join(', ')}`);
  const planned = everyBit(bare.layout, bare.recorded.count, SEED);
  const watch = new BitErrorWatch(bare.layout, bare.recorded, planned);
  compareUnderL0(program, bare, watch, slice);
  const [missed] = watch.missed;
  if (missed !== undefined)
    throw new Error(`bit ${missed.bit} of ${missed.field.name} at exit ${missed.exit} not found`);
  for (const reason of bare.order) {
    const of = counts.get(reason) ?? new Map<ProfileName, number>();
    counts.set(reason, of.set(profile, (of.get(profile) ?? 0) + 1));
  }
  exits += bare.recorded.count;
  errors += watch.made;
  return `${bare.recorded.count} exits, ${watch.made} one-bit errors found`;
}

function smallL1s(): void {
  const counts: Counts = new Map();
  const variants = ALL_CASES.map(withEpt).filter((each) => each !== undefined);
  for (const [cases, slice] of [
    [ALL_CASES, undefined],
    [variants, SLICE],
  ] as const)
    // prettier-ignore
    for (const each of cases)
      for (const profile of each.profiles)
        attempt(`${profile}: ${each.name}`, () => small(each, profile, slice, counts));
  console.log(`\n${'exits of small L1s'.padEnd(24)}${PROFILE_NAMES.map((name) => name.padStart(10)).join('')}`);
  for (const { name } of EXIT_REASONS) {
    const cells = PROFILE_NAMES.map((profile) => String(counts.get(name)?.get(profile) ?? '-').padStart(10));
    const why = cells.some((cell) => cell.endsWith('-')) ? IMPOSSIBLE.find(({ reason }) => reason === name) : undefined;
    console.log(`${name.padEnd(24)}${cells.join('')}${why === undefined ? '' : `  -: ${why.because}`}`);
  }
  console.log('');
}

async function debian(): Promise<void> {
  const guest = await mainGuest();
  if (typeof guest === 'string') return console.log(`skipped: Debian's KVM (${guest})`);
  for (const [profile, paging] of MAIN_JOBS)
    attempt(`${profile}, ${paging}: Debian's KVM boots Linux`, () => {
      const compared = compare(guest, profile, paging);
      exits += compared.exits;
      errors += compared.bitErrors;
      return `\n${tableOf(compared)}\n       `;
    });
}

const [only] = process.argv.slice(2);
if (only !== undefined && only !== 'small' && only !== 'debian') {
  console.error(`turtles: '${only}' is neither small nor debian`);
  process.exit(2);
}
if (only !== 'debian') smallL1s();
if (only !== 'small') await debian();
console.log(`${exits} exits compared, ${errors} one-bit errors made and found, ${failed} failures`);
process.exitCode = failed === 0 ? 0 : 1;
