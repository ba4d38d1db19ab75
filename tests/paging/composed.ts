// SPDX-License-Identifier: Apache-2.0
import { PROFILES } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import type { Halves } from '../../src/hardware/vmx.ts';
import { FakeMemory, FakeProcessor } from '../../src/l0/fake-machine.testing.ts';
import { HostAllocator } from '../../src/l0/host-allocator.ts';
import { L1Memory } from '../../src/l0/l1-memory.ts';
import { eptFeatures } from '../../src/l0/paging/ept-format.ts';
import { MultiDimensionalPaging } from '../../src/l0/paging/multi-dimensional.ts';
import type { Random } from './cases.ts';
import { anyNestedCase } from './ept-cases.ts';
import type { NestedCase } from './ept-cases.ts';
import { AT, NestedTables, eptOf, linearOf, pagingOf } from './nested-tables.ts';
import { MAXPHYADDR, translate } from './reference.ts';
import type { Ept, Outcome, Tables } from './reference.ts';

/**
 * L0's multi-dimensional paging between two references: the hardware walks EPT02, which is filled and emptied by L0, and
 * L1 must see what it would if the hardware walked EPT12.
 */

const MIB = 2 ** 20;
const RAM = 16 * MIB;
const START = 8 * MIB;
const ONES = 0xffff_ffff_ffff_ffffn;
/** Each step fills one entry: five pages, and each may come twice, for its dirty flag. */
const MOST_EXITS = 12;

export class ComposedComparison {
  cases = 0;
  exits = 0;
  readonly outcomes = new Map<string, number>();
  readonly differences: string[] = [];
  private readonly memory = new FakeMemory(START + RAM + 8 * MIB);
  private readonly l1: L1Memory;
  private readonly paging: MultiDimensionalPaging;
  private readonly tables: NestedTables;
  private readonly random: Random;
  private readonly page1GB: boolean;
  private readonly executeOnly: boolean;
  /** L1's memory, as L1's hardware would read it. */
  private readonly l1Tables: Tables = { read: (address) => this.readL1(address) };
  private readonly hostTables: Tables = {
    read: (address) =>
      Number(address) + 8 > this.memory.bytes ? ONES : this.memory.view.getBigUint64(Number(address), true),
  };

  constructor(random: Random, profile: ProfileName) {
    this.random = random;
    this.page1GB = this.executeOnly = profile === 'modern-1';
    const { memory } = this;
    const capabilities = PROFILES[profile];
    const processor = new FakeProcessor(0, capabilities, memory);
    const allocator = new HostAllocator(memory, 0, START);
    this.l1 = new L1Memory(memory, { ramBytes: RAM, hole: 0xb0000000, start: START, permute: 3 });
    this.paging = new MultiDimensionalPaging({
      ...{ processor, memory, pages: allocator, pageLimit: 1000, l1: this.l1 },
      features: eptFeatures(capabilities, Number(MAXPHYADDR)),
      standIn: allocator.allocate(),
    });
    this.tables = new NestedTables((address, value, width = 8) => {
      this.l1.write32(Number(address), Number(value & 0xffff_ffffn));
      if (width === 8) this.l1.write32(Number(address) + 4, Number((value >> 32n) & 0xffff_ffffn));
    });
  }

  get faults(): number {
    return this.cases - (this.outcomes.get('ok') ?? 0);
  }

  any(accessedDirty: boolean): NestedCase {
    return anyNestedCase(this.random, accessedDirty, this.page1GB);
  }

  /** A case with an empty EPT02; then others after INVEPT of L1, which empties it. */
  compare(one: NestedCase): void {
    const eptp12 = eptpOf(one);
    this.cases++;
    this.tables.write(one);
    this.paging.enter(eptp12, { low: 0, high: 0 });
    if (this.random.bits(1) === 0) this.paging.invalidate(eptp12);
    else this.paging.invalidateAll();
    const first = this.exactly('empty', one);
    const [kind] = first.split(' ');
    this.outcomes.set(kind, (this.outcomes.get(kind) ?? 0) + 1);
    // The guest's own tables are no business of EPT02: a change counts at once.
    const other = this.any(one.accessedDirty);
    if (other.kind !== one.kind || other.pageShift !== one.pageShift) return;
    const next = { ...one, entries: other.entries };
    this.tables.writeGuestOnly(next);
    this.exactly('filled', next);
  }

  private exactly(when: string, one: NestedCase): string {
    const { places } = this.tables;
    const before = places.map((place) => this.readL1(place));
    const access = { linear: linearOf(one.kind), what: one.what, by: one.by };
    const expected = translate(this.l1Tables, pagingOf(one), eptOf(one, this.executeOnly, this.page1GB), access);
    const text = this.inL1(expected);
    // A page of the guest's tables that is no memory: L0's emulator is asked, not EPT02.
    if (text === undefined) return 'device';
    const got = this.hardware(one, access);
    this.expect(when, one, text, got);
    const wanted = places.map((place, n) => before[n] | (expected.flags.get(place) ?? 0n));
    if (!text.startsWith('device'))
      this.expect(`${when}, flags`, one, hexList(wanted), hexList(places.map((place) => this.readL1(place))));
    return text;
  }

  /** The hardware goes on until no violation is L0's own. */
  private hardware(one: NestedCase, access: Parameters<typeof translate>[3]): string {
    const eptp12 = eptpOf(one);
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      const pointer: Halves = { low: 0, high: 0 };
      this.paging.enter(eptp12, pointer);
      const ept: Ept = {
        root: BigInt((pointer.low & ~0xfff) >>> 0),
        accessedDirty: (pointer.low & 0x40) !== 0,
        ...{ executeOnly: this.executeOnly, page1GB: this.page1GB },
      };
      const outcome = translate(this.hostTables, pagingOf(one), ept, access);
      for (const [place, flags] of outcome.flags)
        this.memory.view.setBigUint64(Number(place), this.hostTables.read(place) | flags, true);
      if (outcome.is === 'misconfiguration') return 'EPT02 is misconfigured';
      if (outcome.is === 'address') return `ok ${outcome.physical.toString(16)}`;
      if (outcome.is === 'page fault') return `#PF ${outcome.errorCode}`;
      this.exits++;
      const served = this.serve(eptp12, outcome.address, outcome.qualification);
      if (served !== undefined) return served;
    }
    return 'exits without end';
  }

  /** What L1 is told, or undefined when the access is to be made again. See: nested-vmx.ts, violationOfEpt12. */
  private serve(eptp12: Halves, address: bigint, qualification: number): string | undefined {
    const { paging } = this;
    switch (paging.violation(eptp12, Number(address), qualification)) {
      case 'filled':
        return undefined;
      case 'device':
        return `device ${paging.l1Physical.toString(16)}`;
      case 'misconfiguration':
        return `misconfiguration ${address.toString(16)}`;
      case 'violation':
        return `violation ${address.toString(16)} ${((qualification & ~0x38) | (paging.permissions12 << 3)).toString(16)}`;
    }
  }

  /** The same for what EPT12 gives: a place in L1's memory is one in the machine's. Undefined: a table is no memory. */
  private inL1(outcome: Outcome): string | undefined {
    if (this.readNowhere()) return undefined;
    switch (outcome.is) {
      case 'address': {
        const physical = Number(outcome.physical);
        const host = this.l1.translate(physical);
        return host < 0 ? `device ${physical.toString(16)}` : `ok ${host.toString(16)}`;
      }
      case 'page fault':
        return `#PF ${outcome.errorCode}`;
      case 'violation':
        return `violation ${outcome.address.toString(16)} ${outcome.qualification.toString(16)}`;
      case 'misconfiguration':
        return `misconfiguration ${outcome.address.toString(16)}`;
    }
  }

  private nowhere = false;
  /** Whether the last walk in L1's memory met a place without any; asking forgets. */
  private readNowhere(): boolean {
    const { nowhere } = this;
    this.nowhere = false;
    return nowhere;
  }

  private readL1(address: bigint): bigint {
    const at = Number(address);
    if (!this.l1.isRam(at)) this.nowhere = true;
    return BigInt(this.l1.read32(at)) | (BigInt(this.l1.read32(at + 4)) << 32n);
  }

  private expect(when: string, one: NestedCase, expected: string, got: string): void {
    if (got === expected || this.differences.length >= 100) return;
    const ways = Object.entries(one.ways).map(([role, way]) => `${role} ${hexList(way.entries)}`);
    this.differences.push(
      `${when}: ${got}, not ${expected}: ${one.kind} 2^${one.pageShift} ${one.what} by ${one.by}` +
        `${one.accessedDirty ? ' A/D' : ''}: ${hexList(one.entries)}; ${ways.join('; ')}`,
    );
  }
}

function eptpOf(one: NestedCase): Halves {
  return { low: AT.eptRoot | 0x1e | (one.accessedDirty ? 0x40 : 0), high: 0 };
}

const hexList = (values: readonly bigint[]): string => values.map((value) => value.toString(16)).join(' ');
