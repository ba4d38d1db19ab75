// SPDX-License-Identifier: Apache-2.0
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { CASES, caseAt } from './cases.ts';
import type { Case, Kind, Random } from './cases.ts';
import { ProcessorBench, SELECTOR } from './processor-bench.ts';
import type { Fragment } from './processor-bench.ts';
import { translate } from './reference.ts';
import type { Access, Flags, Paging, Tables } from './reference.ts';

/** Loads, stores, fetches and descriptor loads on the whole machine beside the reference; with what the TLB may keep. */

/** What lies in page 0xa and page 0xb: MOV AL, number; UD2. Its second byte says which page was read. */
const code = (page: number): number[] => [0xb0, page, 0x0f, 0x0b];
/** A descriptor of a user's data segment whose base is the page's number; `accessed` is bit 0 of its type. */
const descriptor = (page: number, accessed: number): number[] => [0xff, 0xff, page, 0, 0, 0xf2 | accessed, 0xcf, 0];
const WRITTEN = 0x1111_1111;
/** Pages of the first and the second tables, by size. In 16 MBytes there is one of 1 GByte only. */
// prettier-ignore
const PAGES: Readonly<Record<number, readonly [bigint, bigint]>> = {
  12: [0x80000n, 0x81000n], 21: [0x400000n, 0x600000n], 22: [0x400000n, 0x800000n], 30: [0n, 0n],
};

interface Answer {
  readonly text: string;
  readonly flags: Flags;
}

export class ProcessorComparison {
  cases = 0;
  faults = 0;
  /** Second accesses that the machine answered from what it had kept. */
  kept = 0;
  readonly differences: string[] = [];
  private readonly benches = new Map<string, ProcessorBench>();
  private readonly random: Random;
  private readonly jit: JitMode;

  constructor(random: Random, jit: JitMode) {
    this.random = random;
    this.jit = jit;
  }

  /** One case with a cold TLB, then with other tables: warm, and after an invalidation. */
  compare(one: Case): void {
    if (one.by === 'implicit' && one.what === 'fetch') return;
    const bench = this.bench(one.kind, one.paging.page1GB);
    const [firstPage, secondPage] = PAGES[one.pageShift];
    const places = this.lay(bench, one, firstPage);
    const user = this.enter(bench, one);
    bench.forgetTranslations();
    this.cases++;
    const first = this.expected(bench, bench.pagingOf(one), one);
    const before = places.map((place) => bench.read(place));
    this.expect('cold', one, first.text, this.access(bench, one, user));
    const wanted = places.map((place, n) => before[n] | (first.flags.get(place) ?? 0n));
    this.expect('flags', one, hexList(wanted), hexList(places.map((place) => bench.read(place))));
    if (first.text.startsWith('#PF')) this.faults++;
    this.changed(bench, one, secondPage, first.text);
  }

  /** The tables change under the processor: without an invalidation it may answer by either, with one only by the new. */
  private changed(bench: ProcessorBench, one: Case, page: bigint, first: string): void {
    const other = this.otherTables(one);
    const reached = first.startsWith('page');
    const old = reached ? snapshot(bench, bench.writtenPlaces) : undefined;
    const places = this.lay(bench, other, page);
    const now = this.expected(bench, bench.pagingOf(other), other);
    const allowed = new Set([now.text]);
    if (old !== undefined) allowed.add(this.expected(old, bench.pagingOf(one), one).text);
    // The read of a descriptor may be answered by what was kept, and its write not.
    const readBefore = reached || (Number(first.slice(4)) & 2) !== 0;
    if (one.by === 'implicit' && one.what === 'write' && readBefore) {
      const write = this.directly(bench, other);
      allowed.add(write.startsWith('page') ? 'page a' : write);
    }
    const warm = this.access(bench, other, this.enter(bench, other));
    if (warm !== now.text) this.kept++;
    if (!allowed.has(warm)) this.expect('warm', other, [...allowed].join(' or '), warm);
    this.lay(bench, other, page);
    bench.enter(other, false, false);
    bench.run(this.random.bits(1) ? 'invlpg' : 'flush', false);
    const user = this.enter(bench, other);
    const before = places.map((place) => bench.read(place));
    this.expect('invalidated', other, now.text, this.access(bench, other, user));
    const wanted = places.map((place, n) => before[n] | (now.flags.get(place) ?? 0n));
    this.expect('flags after it', other, hexList(wanted), hexList(places.map((place) => bench.read(place))));
  }

  private bench(kind: Kind, page1GB: boolean): ProcessorBench {
    const key = `${kind} ${page1GB}`;
    let bench = this.benches.get(key);
    if (bench === undefined) this.benches.set(key, (bench = new ProcessorBench(kind, page1GB, this.jit)));
    return bench;
  }

  /** Another case of the same shape, mode and access. */
  private otherTables(one: Case): Case {
    for (;;) {
      const other = caseAt(this.random.below(CASES), this.random);
      if (other.kind === one.kind && other.pageShift === one.pageShift) return { ...one, entries: other.entries };
    }
  }

  /** Tables, and in both pages what the access needs. */
  private lay(bench: ProcessorBench, one: Case, page: bigint): readonly bigint[] {
    const places = bench.writeTables(one, page);
    PAGES[one.pageShift].forEach((each, _, pages) => {
      const number = 0xa + pages.indexOf(each);
      bench.poke(
        bench.dataAt(each),
        one.by === 'implicit' ? descriptor(number, one.what === 'write' ? 0 : 1) : code(number),
      );
    });
    return places;
  }

  private expected(tables: Tables, paging: Paging, one: Case): Answer {
    const { linear } = this.bench(one.kind, one.paging.page1GB);
    return translated(tables, paging, { linear, what: one.what, by: one.by }, one.pageShift);
  }

  private directly(bench: ProcessorBench, one: Case): string {
    const access: Access = { linear: bench.linear, what: one.what, by: one.by };
    return answer(translate(bench, bench.pagingOf(one), undefined, access), one.pageShift).text;
  }

  /** An implicit access is made at any CPL, with RFLAGS.AC too. Gives whether it is CPL 3. */
  private enter(bench: ProcessorBench, one: Case): boolean {
    const implicit = one.by === 'implicit';
    const user = implicit ? this.random.bits(1) === 1 : one.by === 'user';
    bench.enter(one, user, implicit ? this.random.bits(1) === 1 : one.by === 'supervisor AC');
    return user;
  }

  /** Makes the access: `#PF code`, or in which page it ended. */
  private access(bench: ProcessorBench, one: Case, user: boolean): string {
    const implicit = one.by === 'implicit';
    const fragment: Fragment = implicit
      ? 'descriptor'
      : one.what === 'write' && this.random.bits(1)
        ? 'modify'
        : one.what;
    const text = bench.run(fragment, user, implicit ? { eax: SELECTOR } : { ecx: WRITTEN });
    if (text !== 'ok') return text;
    const number = implicit ? bench.fsBase : one.what === 'write' ? this.writtenPage(bench, one) : bench.eax & 0xff;
    return `page ${number.toString(16)}`.replace('page b0', `page ${((bench.eax >> 8) & 0xff).toString(16)}`);
  }

  /** Which page the store went to, and only it. */
  private writtenPage(bench: ProcessorBench, one: Case): number {
    const changed = new Set<number>();
    PAGES[one.pageShift].forEach((page, _, pages) => {
      const number = 0xa + pages.indexOf(page);
      const value = Number(bench.read(BigInt(bench.dataAt(page))) & 0xffff_ffffn);
      const original = 0x0b0f_00b0 | (number << 8);
      if (value === WRITTEN || value === (original + WRITTEN) >>> 0) changed.add(number);
    });
    return changed.size === 1 ? [...changed][0] : -1;
  }

  private expect(when: string, one: Case, expected: string, got: string): void {
    if (got === expected || this.differences.length >= 100) return;
    const entries = one.entries.map((entry) => entry.toString(16)).join(' ');
    const mode = Object.entries(one.paging).flatMap(([name, on]) => (on === true ? [name] : []));
    this.differences.push(
      `${when}: ${got}, not ${expected}: ${one.kind} 2^${one.pageShift} ${one.what} by ${one.by}, ${mode.join(' ')}: ${entries}`,
    );
  }
}

/** An access of the processor itself to a descriptor reads it; if its accessed bit is clear, it writes it then. */
function translated(tables: Tables, paging: Paging, access: Access, pageShift: number): Answer {
  const { by, what } = access;
  const whole = answer(translate(tables, paging, undefined, access), pageShift);
  if (by !== 'implicit' || what !== 'write') return whole;
  const read = translate(tables, paging, undefined, { ...access, what: 'read' });
  if (read.is !== 'address') return answer(read, pageShift);
  return whole.text.startsWith('page') ? whole : { ...whole, flags: read.flags };
}

function answer(outcome: ReturnType<typeof translate>, pageShift: number): Answer {
  const { flags } = outcome;
  if (outcome.is === 'page fault') return { text: `#PF ${outcome.errorCode}`, flags };
  if (outcome.is !== 'address') throw new Error(outcome.is);
  const number = 0xa + PAGES[pageShift].indexOf((outcome.physical >> BigInt(pageShift)) << BigInt(pageShift));
  return { text: `page ${number.toString(16)}`, flags };
}

/** The tables as they are now. */
function snapshot(tables: Tables, places: readonly bigint[]): Tables {
  const values = new Map(places.map((place) => [place, tables.read(place)]));
  return { read: (address) => values.get(address) ?? tables.read(address) };
}

const hexList = (values: readonly bigint[]): string => values.map((value) => value.toString(16)).join(' ');
