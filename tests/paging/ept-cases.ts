// SPDX-License-Identifier: Apache-2.0
import { BY, SHAPES, WHAT } from './cases.ts';
import type { Kind, Random } from './cases.ts';
import type { Access, Paging } from './reference.ts';

/** Cases of two dimensions: the guest's tables, and for each guest-physical page that the walk needs a way through EPT. */

/** Guest-physical pages by what they hold: the tables by their level (the root last), and the page itself. */
export const ROLES = ['page', 'table', 'directory', 'pointers', 'root'] as const;
export type Role = (typeof ROLES)[number];

export interface EptWay {
  /** log2 of the EPT page's size. */
  readonly shift: 12 | 21 | 30;
  /** Entries of levels 3, 2, 1 as far as there are, without addresses. */
  readonly entries: readonly bigint[];
}

export interface NestedCase {
  readonly kind: Kind;
  readonly pageShift: number;
  /** The guest's entries from the first tested level down, without addresses. */
  readonly entries: readonly bigint[];
  readonly paging: Omit<Paging, 'cr3' | 'pdptes'>;
  readonly what: Access['what'];
  readonly by: 'user' | 'supervisor' | 'supervisor AC';
  readonly accessedDirty: boolean;
  readonly ways: Readonly<Record<Role, EptWay>>;
}

const SHIFTS = [12, 21, 30] as const;
const WRITE_BACK = 6n << 3n;

/** A sound entry; bits that the manual ignores, and the flags, are random. */
function soundEntry(leaf: boolean, shift: number, random: Random): bigint {
  const ignored = (BigInt(random.bits(12)) << 52n) | (BigInt(random.bits(4)) << 8n);
  if (!leaf) return 7n | ignored;
  const page = shift > 12 ? 0x80n : BigInt(random.bits(1)) << 7n;
  return 7n | WRITE_BACK | page | ignored | (BigInt(random.bits(1)) << 6n);
}

/** `rights`: of the leaf, -1 for any defect. */
export function eptWay(shift: EptWay['shift'], random: Random): EptWay {
  const levels = shift === 30 ? 1 : shift === 21 ? 2 : 3;
  return { shift, entries: Array.from({ length: levels }, (_, n) => soundEntry(n === levels - 1, shift, random)) };
}

function changed(way: EptWay, level: number, change: (entry: bigint) => bigint): EptWay {
  return { ...way, entries: way.entries.map((entry, n) => (n === level ? change(entry) : entry)) };
}

/** Fewer rights at one level, another memory type, or any one bit. */
function withDefect(way: EptWay, random: Random): EptWay {
  const level = random.below(way.entries.length);
  const choice = random.below(8);
  if (choice < 5) return changed(way, level, (entry) => (entry & ~7n) | BigInt(random.bits(3)));
  if (choice === 5)
    return changed(way, way.entries.length - 1, (entry) => (entry & ~0x38n) | (BigInt(random.bits(3)) << 3n));
  return changed(way, level, (entry) => entry ^ (1n << BigInt(random.below(52))));
}

function waysOf(make: (role: Role) => EptWay): NestedCase['ways'] {
  const [page, table, directory, pointers, root] = ROLES.map(make);
  return { page, table, directory, pointers, root };
}

/** Guest levels of a shape that are tested: outside fetches the root of 4-level and 32-bit paging is that of the code. */
function guestEntries(kind: Kind, pageShift: number, sound: (leaf: boolean) => bigint): bigint[] {
  const levels = SHAPES.find((shape) => shape.kind === kind && shape.pageShift === pageShift)!.levels;
  return Array.from({ length: levels }, (_, n) => sound(n === levels - 1));
}

/** P, R/W, U/S; accessed and dirty flags as given by bits 1:0 of `flags`. */
function guestEntry(leaf: boolean, pageShift: number, flags: number): bigint {
  return 7n | (leaf && pageShift > 12 ? 0x80n : 0n) | (flags & 1 ? 0x20n : 0n) | (flags & 2 && leaf ? 0x40n : 0n);
}

function anyMode(kind: Kind, random: Random): NestedCase['paging'] {
  const has = (): boolean => random.bits(1) === 1;
  return {
    kind,
    WP: has(),
    NXE: has(),
    SMEP: random.below(4) === 0,
    SMAP: random.below(4) === 0,
    PSE: true,
    page1GB: true,
  };
}

/** Anything: mostly sound, with a defect here and there in either dimension. */
export function anyNestedCase(random: Random, accessedDirty: boolean, page1GB: boolean): NestedCase {
  const shape = SHAPES[random.below(SHAPES.length)];
  const { kind, pageShift } = shape;
  const defects = random.below(4);
  const guestDefect = defects === 1 || random.below(8) === 0;
  const entries = guestEntries(kind, pageShift, (leaf) => guestEntry(leaf, pageShift, random.bits(2)));
  if (guestDefect) {
    const level = random.below(entries.length);
    const bit = random.below(2) === 0 ? random.below(3) : random.below(kind === '32-bit' ? 32 : 64);
    entries[level] ^= 1n << BigInt(bit);
  }
  const ways = waysOf(() => {
    // Where the processor has no pages of 1 GByte one is tried now and then.
    const way = eptWay(SHIFTS[random.below(page1GB || random.below(16) === 0 ? 3 : 2)], random);
    return defects >= 2 && random.below(4) === 0 ? withDefect(way, random) : way;
  });
  const what = WHAT[random.below(3)];
  const by = BY[random.below(3)] as NestedCase['by'];
  return { kind, pageShift, entries, paging: anyMode(kind, random), what, by, accessedDirty, ways };
}

/** Sound tables, but for the rights that EPT gives to one page of the walk: all of them, for each page and access. */
export function* rightsOfEachPage(random: Random, accessedDirty: boolean): Generator<NestedCase> {
  for (const { kind, pageShift } of SHAPES)
    for (const role of ROLES)
      for (const shift of SHIFTS)
        for (let rights = 0; rights < 8; rights++)
          for (const what of WHAT)
            for (let flags = 0; flags < 4; flags++) {
              const entries = guestEntries(kind, pageShift, (leaf) => guestEntry(leaf, pageShift, flags));
              const ways = waysOf((each) => {
                const way = eptWay(each === role ? shift : 12, random);
                const level = each === role ? random.below(way.entries.length) : -1;
                return changed(way, level, (entry) => (entry & ~7n) | BigInt(rights));
              });
              const paging = { ...anyMode(kind, random), SMEP: false, SMAP: false };
              yield { kind, pageShift, entries, paging, what, by: 'supervisor', accessedDirty, ways };
            }
}
