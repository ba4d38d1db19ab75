// SPDX-License-Identifier: Apache-2.0
import { walkPages } from '../../src/decode/page-walk.ts';
import { CLASS, PageWalker, WALK } from '../../src/machine/mmu/walk.ts';
import type { PagingMode } from '../../src/machine/mmu/walk.ts';
import type { Case } from './cases.ts';
import { AT, anyLinear, writeChain } from './chain.ts';
import type { Chain, TableMemory } from './chain.ts';
import type { Random } from './cases.ts';
import { MAXPHYADDR, translate } from './reference.ts';
import type { Access, Outcome } from './reference.ts';

/** The two walkers of src, and the reference, on the same tables. */

/** `physical shift` or `#PF code`. */
type Answer = string;

const answerOf = (outcome: Outcome): Answer =>
  outcome.is === 'address'
    ? `${outcome.physical.toString(16)} ${outcome.pageShift}`
    : outcome.is === 'page fault'
      ? `#PF ${outcome.errorCode}`
      : outcome.is;

export class WalkerComparison {
  cases = 0;
  faults = 0;
  /** One line for each case that differs, the first hundred. */
  readonly differences: string[] = [];
  private readonly tables: TableMemory;
  private readonly walker: PageWalker;
  private readonly random: Random;

  constructor(tables: TableMemory, random: Random) {
    this.tables = tables;
    this.walker = new PageWalker(tables.memory);
    this.random = random;
  }

  compare(one: Case): void {
    const { random, tables } = this;
    const base = pageBase(one, random);
    const chain = writeChain(tables, one, anyLinear(one.kind, random), base);
    const before = chain.entries.map((place) => tables.read(place));
    const access: Access = { linear: chain.linear, what: one.what, by: one.by };
    const expected = translate(tables, chain.paging, undefined, access);
    this.cases++;
    if (expected.is === 'page fault') this.faults++;
    this.expect('walkPages', one, answerOf(expected), decodeAnswer(tables, chain, access));
    this.expect('PageWalker', one, answerOf(expected), this.machineAnswer(chain, access));
    const after = chain.entries.map((place, n) => before[n] | (expected.flags.get(place) ?? 0n));
    this.expect('flags', one, after.join(), chain.entries.map((place) => tables.read(place)).join());
  }

  private expect(who: string, one: Case, expected: string, got: string): void {
    if (got !== expected && this.differences.length < 100) {
      const { kind, pageShift, paging, what, by } = one;
      const entries = one.entries.map((entry) => entry.toString(16)).join(' ');
      const mode = Object.entries(paging).filter(([, on]) => on === true);
      this.differences.push(
        `${who}: ${got}, not ${expected}: ${kind} 2^${pageShift} ${what} by ${by}, ${mode.map(([name]) => name).join(' ')}: ${entries}`,
      );
    }
  }

  private machineAnswer(chain: Chain, access: Access): Answer {
    const { walker } = this;
    const low = Number(BigInt.asIntN(32, chain.linear));
    const high = Number(chain.linear >> 32n);
    const accessClass =
      access.by === 'user'
        ? CLASS.user
        : access.by === 'supervisor AC' || !chain.paging.SMAP
          ? CLASS.supervisor
          : CLASS.supervisorSmap;
    const mode = pagingMode(chain);
    const outcome = walker.walk(mode, low, high, access.what === 'write', access.what === 'fetch', accessClass);
    return outcome === WALK.ok ? `${walker.physical.toString(16)} ${walker.pageShift}` : `#PF ${walker.errorCode}`;
  }
}

/** Where the page lies: below MAXPHYADDR, aligned to its size; in 4-MByte pages bits 39:32 are elsewhere (PSE-36). */
function pageBase(one: Case, random: Random): bigint {
  if (one.kind === '32-bit' && one.pageShift === 12) return BigInt(random.bits(20)) << 12n;
  if (one.kind === '32-bit') return (BigInt(random.bits(10)) << 22n) | (BigInt(random.bits(7)) << 13n);
  const any = BigInt(random.bits(Number(MAXPHYADDR) - 12)) << 12n;
  return (any >> BigInt(one.pageShift)) << BigInt(one.pageShift);
}

function pagingMode({ paging }: Chain): PagingMode {
  const pdpte = new Int32Array(8);
  paging.pdptes.forEach((value, n) => pdpte.set([Number(BigInt.asIntN(32, value)), Number(value >> 32n)], n * 2));
  return {
    levels: paging.kind === '4-level' ? 4 : paging.kind === 'PAE' ? 3 : 2,
    root: AT.tables,
    pageSizeExtension: paging.PSE,
    gigabytePages: paging.page1GB,
    noExecute: paging.NXE,
    writeProtect: paging.WP,
    smep: paging.SMEP,
    smap: paging.SMAP,
    globals: true,
    pdpte,
  };
}

function decodeAnswer(tables: TableMemory, { paging, linear }: Chain, access: Access): Answer {
  const pdptes = paging.pdptes.flatMap((value) => [Number(value & 0xffff_ffffn), Number(value >> 32n)]);
  const set = (on: boolean, bit: number): number => (on ? bit : 0);
  const result = walkPages(
    {
      read32: (address) =>
        Number((tables.read(BigInt(address - (address % 8))) >> BigInt((address % 8) * 8)) & 0xffff_ffffn),
    },
    {
      cr0: (0x8000_0001 | set(paging.WP, 1 << 16)) >>> 0,
      cr3Low: AT.tables,
      cr3High: 0,
      cr4:
        set(paging.PSE, 1 << 4) |
        set(paging.kind !== '32-bit', 1 << 5) |
        set(paging.SMEP, 1 << 20) |
        set(paging.SMAP, 1 << 21),
      efer: set(paging.kind === '4-level', 0x500) | set(paging.NXE, 0x800),
      pdptes,
      physicalAddressBits: Number(MAXPHYADDR),
      gigabytePages: paging.page1GB,
    },
    Number(linear),
    {
      write: access.what === 'write',
      fetch: access.what === 'fetch',
      user: access.by === 'user',
      alignmentCheck: access.by === 'supervisor AC',
    },
  );
  return 'errorCode' in result ? `#PF ${result.errorCode}` : `${result.physical.toString(16)} ${result.pageShift}`;
}
