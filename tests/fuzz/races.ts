// SPDX-License-Identifier: Apache-2.0
// Another processor of L1's, as far as L0 can notice one: while L0 serves an exit, between two of its accesses to memory,
// something there changes. What L0 has checked it must not read again.
import type { Dice } from '../machine/random-program.ts';
import { GAME_PAGES } from './l2-code.ts';
import { LAYOUT, REGION_COUNT } from './layout.ts';

const PAGE = 0x1000;
const MOST_RACES = 40;
const MOST_EXITS_BETWEEN = 30;
const TWO_32 = 2 ** 32;

/** One write by the other processor. They come one after the other. */
export interface Race {
  /** So many exits after the race before it, */
  readonly after: number;
  /** at the next exit to which L0 gives more accesses than this: before that access. */
  readonly access: number;
  /** L1-physical. */
  readonly at: number;
  readonly bytes: readonly number[];
}

/** What L0 reads for L1: VMCS regions, the operands' pages and tables, lists, bitmaps, EPT12, tables and code of L2. */
const TARGETS: readonly (readonly [at: number, pages: number])[] = [
  [LAYOUT.REGIONS, REGION_COUNT],
  [LAYOUT.REGIONS, 1],
  [LAYOUT.VMXON_REGION, 1],
  [LAYOUT.OPERANDS, 4],
  [LAYOUT.ENTRY_LIST, 3],
  [LAYOUT.IO_BITMAP_A, 6],
  [LAYOUT.EPT, 4],
  [LAYOUT.L2_PML4, 4],
  [LAYOUT.L2_IDT, 3],
  [LAYOUT.L2_CODE, 1],
  [GAME_PAGES[0], GAME_PAGES.length],
];
/** Where L0 looks in them: heads of regions and lists, the entries that map the first pages, the operands. */
const PLACES = [0, 4, 8, 16, 24, 0x80, 0x200, 0x240, 0x800];

export function races(dice: Dice): Race[] {
  return Array.from({ length: 1 + dice.below(MOST_RACES) }, () => {
    const [from, pages] = dice.pick(TARGETS);
    const offset = dice.below(2) === 0 ? dice.pick(PLACES) : 4 * dice.below(PAGE / 4);
    return {
      after: dice.below(MOST_EXITS_BETWEEN),
      access: dice.pick([0, 1, 2, 3, 5, 8, 13, 30, 100]),
      at: from + PAGE * dice.below(pages) + offset,
      bytes: dice.pick([
        () => [dice.below(256)],
        () => [1 << dice.below(8), 0, 0, 0],
        () => Array.from({ length: 4 }, () => dice.below(256)),
        () => Array.from({ length: 4 }, () => 0xff),
        () => littleEndian(dice.below(TWO_32)),
      ])(),
    };
  });
}

const littleEndian = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

/** Carries races out: told of each exit, and of each access to memory by L0. */
export class OtherProcessor {
  private readonly write: (at: number, bytes: Uint8Array) => void;
  private races: readonly Race[] = [];
  private next = 0;
  private wait = 0;
  private writing = false;

  /** `write`: into L1's memory, without L0. */
  constructor(write: (at: number, bytes: Uint8Array) => void) {
    this.write = write;
  }

  begin(races: readonly Race[]): void {
    this.races = races;
    this.next = 0;
    this.wait = races[0]?.after ?? 0;
  }

  exit(): void {
    this.wait--;
  }

  /** L0 has made so many accesses for this exit, and is about to make another. */
  access(number: number): void {
    const race = this.races[this.next];
    if (race === undefined || this.wait > 0 || number !== race.access || this.writing) return;
    this.next++;
    this.wait = this.races[this.next]?.after ?? 0;
    this.writing = true;
    this.write(race.at, Uint8Array.from(race.bytes));
    this.writing = false;
  }
}
