// SPDX-License-Identifier: Apache-2.0
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { anyNestedCase } from './ept-cases.ts';
import type { NestedCase } from './ept-cases.ts';
import type { Random } from './cases.ts';
import { NestedBench } from './nested-bench.ts';
import { linearOf } from './nested-tables.ts';
import { translate } from './reference.ts';
import type { Flags, Tables } from './reference.ts';

/** Two dimensions: what a guest's access comes to on the machine, beside the reference; and what may be kept. */

interface Answer {
  readonly text: string;
  readonly flags: Flags;
}

export class NestedComparison {
  cases = 0;
  /** By what they came to. */
  readonly outcomes = new Map<string, number>();
  kept = 0;
  readonly differences: string[] = [];
  readonly bench: NestedBench;
  private readonly random: Random;
  private readonly vpidTypes: readonly number[];

  constructor(random: Random, profile: ProfileName) {
    this.random = random;
    this.bench = new NestedBench(profile);
    this.vpidTypes = profile === 'modern-1' ? [0, 1, 2, 3] : [1, 2];
  }

  get faults(): number {
    return this.cases - (this.outcomes.get('ok') ?? 0);
  }

  compare(one: NestedCase): void {
    const { bench } = this;
    this.cases++;
    bench.tables.write(one);
    bench.invalidate('INVEPT', 2, 0n);
    const expected = this.exactly('cold', one);
    if (expected === undefined) return;
    const [kind] = expected.split(' ');
    this.outcomes.set(kind, (this.outcomes.get(kind) ?? 0) + 1);
    if (kind === 'ok') this.changed(one);
  }

  any(accessedDirty: boolean): NestedCase {
    return anyNestedCase(this.random, accessedDirty, this.bench.page1GB);
  }

  /** The one right answer, and the flags in memory after it; undefined where the access cannot be tried. */
  private exactly(when: string, one: NestedCase): string | undefined {
    const { bench } = this;
    const expected = this.expected(bench, one);
    if (expected === undefined) return undefined;
    const before = bench.tables.places.map((place) => bench.read(place));
    const got = bench.access(one);
    this.expect(when, one, expected.text, got);
    const wanted = bench.tables.places.map((place, n) => before[n] | (expected.flags.get(place) ?? 0n));
    const after = bench.tables.places.map((place) => bench.read(place));
    this.expect(`${when}, flags`, one, hexList(wanted), hexList(after));
    return expected.text;
  }

  /** One dimension changes: what was kept of it may answer, until INVEPT or INVVPID. */
  private changed(one: NestedCase): void {
    const { bench } = this;
    const other = this.any(one.accessedDirty);
    const guestOnly = other.kind === one.kind && other.pageShift === one.pageShift;
    const next = guestOnly ? { ...one, entries: other.entries } : { ...one, ways: other.ways };
    const old = new Map(bench.tables.places.map((place) => [place, bench.read(place)]));
    const write = (): void => (guestOnly ? bench.tables.writeGuestOnly(next) : bench.tables.write(next));
    write();
    const allowed = this.mixed(next, old);
    // Where one of them cannot be tried none is.
    if (allowed !== undefined) {
      const now = this.expected(bench, next)?.text;
      const warm = bench.access(next);
      if (warm !== now) this.kept++;
      if (!allowed.has(warm)) this.expect('warm', next, [...allowed].join(' or '), warm);
    }
    write();
    this.invalidate(guestOnly, one);
    this.exactly('invalidated', next);
  }

  /** INVVPID is enough for the guest's tables, INVEPT for both: in each of their types. */
  private invalidate(guestOnly: boolean, one: NestedCase): void {
    const { bench, random } = this;
    const vpid = 1n;
    if (!guestOnly) bench.invalidate('INVEPT', 1 + random.bits(1), bench.eptp);
    else bench.invalidate('INVVPID', this.vpidTypes[random.below(this.vpidTypes.length)], vpid, linearOf(one.kind));
  }

  /** Every answer with the guest's tables, and the way to each page, as they were or as they are now. */
  private mixed(next: NestedCase, old: ReadonlyMap<bigint, bigint>): Set<string> | undefined {
    const { bench } = this;
    const groups = [...bench.tables.ways, bench.tables.guest].filter((group) =>
      group.some((place) => old.has(place) && old.get(place) !== bench.read(place)),
    );
    const answers = new Set<string>();
    for (let choice = 0; choice < 2 ** groups.length; choice++) {
      const chosen = new Set(groups.flatMap((group, n) => ((choice >> n) & 1 ? group : [])));
      const read = (place: bigint): bigint => (chosen.has(place) ? old.get(place) : undefined) ?? bench.read(place);
      const answer = this.expected({ read }, next);
      if (answer === undefined) return undefined;
      answers.add(answer.text);
    }
    return answers;
  }

  private expected(tables: Tables, one: NestedCase): Answer | undefined {
    const { bench } = this;
    const { paging, ept } = bench.describe(one);
    const outcome = translate(tables, paging, ept, { linear: linearOf(one.kind), what: one.what, by: one.by });
    const { flags } = outcome;
    switch (outcome.is) {
      case 'address': {
        const effect = bench.expectedEffect(one, outcome.physical);
        return effect === undefined ? undefined : { text: `ok ${effect}`, flags };
      }
      case 'page fault':
        return { text: `#PF ${outcome.errorCode}`, flags };
      case 'violation':
        return { text: `violation ${outcome.address.toString(16)} ${outcome.qualification.toString(16)}`, flags };
      case 'misconfiguration':
        return { text: `misconfiguration ${outcome.address.toString(16)}`, flags };
    }
  }

  private expect(when: string, one: NestedCase, expected: string, got: string): void {
    if (got === expected || this.differences.length >= 100) return;
    const mode = Object.entries(one.paging).flatMap(([name, on]) => (on === true ? [name] : []));
    const ways = Object.entries(one.ways).map(([role, way]) => `${role} ${hexList(way.entries)}`);
    this.differences.push(
      `${when}: ${got}, not ${expected}: ${one.kind} 2^${one.pageShift} ${one.what} by ${one.by}, ` +
        `${mode.join(' ')}${one.accessedDirty ? ' A/D' : ''}: ${hexList(one.entries)}; ${ways.join('; ')}`,
    );
  }
}

const hexList = (values: readonly bigint[]): string => values.map((value) => value.toString(16)).join(' ');
