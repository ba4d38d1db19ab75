// SPDX-License-Identifier: Apache-2.0
// EPT12 entries that are not as a well-meaning L1 makes them. Addresses are L1-physical.
import type { Dice } from '../machine/random-program.ts';
import { LAYOUT } from './layout.ts';
import { GAME_PAGES } from './l2-code.ts';
import type { Patch } from './program.ts';

const PAGE = 0x1000;
const READ_WRITE_EXECUTE = 7;
const WRITE_BACK = 0x30;
const LARGE = 0x80;
const BEYOND_MEMORY = 0x4000_0000n;

/** The value of an entry, from the one that a good tree has there. */
type Defect = readonly [what: string, value: (dice: Dice, good: bigint, table: number) => bigint];

/** What the manual says about, and what L0 can answer as the bare machine does. */
// prettier-ignore
const DEFECTS: readonly Defect[] = [
  ['absent',               () => 0n],
  ['a flipped bit',        (d, good) => good ^ (1n << BigInt(d.below(12)))],
  ['a flipped high bit',   (d, good) => good ^ (1n << BigInt(39 + d.below(25)))],
  ['write without read',   (_, good) => (good & ~7n) | 2n],
  ['read only',            (_, good) => (good & ~7n) | 1n],
  ['execute only',         (_, good) => (good & ~7n) | 4n],
  ['no execution',         (_, good) => (good & ~7n) | 3n],
  ['memory type',          (d, good) => (good & ~0x38n) | (BigInt(d.below(8)) << 3n)],
  ['another page of L2',   (d) => BigInt(d.pick(GAME_PAGES) | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['a large page',         (d, good) => good | BigInt(LARGE) | (d.below(2) === 0 ? 0n : BigInt(WRITE_BACK))],
  ['2 MBytes of L1',       () => BigInt(0x200000 | READ_WRITE_EXECUTE | WRITE_BACK | LARGE)],
  ['all of memory, large', () => BigInt(READ_WRITE_EXECUTE | WRITE_BACK | LARGE)],
  ['reserved bits of a large page', (d) => BigInt(READ_WRITE_EXECUTE | WRITE_BACK | LARGE | (1 << (12 + d.below(18))))],
  ['accessed and dirty',   (d, good) => good | (BigInt(d.below(4)) << 8n)],
];

/** What leads L2 to devices, out of memory, or to what L1's processor keeps for itself: nothing to compare. */
// prettier-ignore
const OUTSIDE: readonly Defect[] = [
  ['itself as its table',  (_, _good, table) => BigInt(table | READ_WRITE_EXECUTE)],
  ['beyond memory',        () => BEYOND_MEMORY | BigInt(READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the local APIC',       () => 0xfee0_0037n],
  ['a device',             () => 0xfed0_0037n],
  ['the VMCS region',      () => BigInt(LAYOUT.REGIONS | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['EPT12 itself',         () => BigInt(LAYOUT.EPT | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the lowest table',     () => BigInt((LAYOUT.EPT + 3 * PAGE) | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the virtual-APIC page',() => BigInt(LAYOUT.VIRTUAL_APIC | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the MSR bitmap',       () => BigInt(LAYOUT.MSR_BITMAP | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['an MSR list',          () => BigInt(LAYOUT.STORE_LIST | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the log',              () => BigInt(LAYOUT.LOG | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['a page table of L1',   () => BigInt((LAYOUT.PML4 + 3 * PAGE) | READ_WRITE_EXECUTE | WRITE_BACK)],
  ['the last page',        () => 0x7f_ffff_f037n],
];

/** Pages of L2 whose translation a defect may hit; those that L2 cannot do without come seldom. */
function victim(dice: Dice): number {
  if (dice.below(6) === 0)
    return dice.pick([
      LAYOUT.L2_CODE,
      LAYOUT.L2_STACK - PAGE,
      LAYOUT.L2_IDT,
      LAYOUT.L2_PML4,
      LAYOUT.L2_PML4 + 3 * PAGE,
      LAYOUT.L2_DATA,
    ]);
  return dice.pick([...GAME_PAGES, LAYOUT.APIC_ACCESS, LAYOUT.L2_TSS, LAYOUT.L2_GDT]);
}

export interface EptEntry {
  readonly what: string;
  readonly at: number;
  readonly value: bigint;
}

/** An entry of EPT12 with a defect; `outside`: also one that leads out of L2. */
export function eptDefect(dice: Dice, outside: boolean): EptEntry {
  const page = victim(dice);
  const level = dice.below(8) === 0 ? dice.below(4) : 3;
  const table = LAYOUT.EPT + level * PAGE;
  const good =
    level === 3 ? BigInt(page | READ_WRITE_EXECUTE | WRITE_BACK) : BigInt((table + PAGE) | READ_WRITE_EXECUTE);
  const [what, value] = dice.pick(outside ? OUTSIDE : DEFECTS);
  const at = table + (level === 3 ? 8 * (page / PAGE) : level === 2 ? 8 * dice.below(2) : 0);
  return {
    what: `EPT12, level ${4 - level}, of ${page.toString(16)}: ${what}`,
    at,
    value: BigInt.asUintN(64, value(dice, good, table)),
  };
}

export function eptPatch({ what, at, value }: EptEntry): Patch {
  return { what, at, bytes: Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n)) };
}
