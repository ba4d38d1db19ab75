// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { OpcodeRow } from '../arch/instructions/row.ts';
import { opcodeTable } from '../arch/instructions/table.ts';

/**
 * From opcode bytes to a row by table lookup, built once from the opcode table.
 * An entry is a row's id, or UNDEFINED, or (below it) a table of 256 entries indexed by the ModRM byte.
 */

export const UNDEFINED_ENTRY = -1;
/** Which rows exist: outside 64-bit mode, in it without W, in it with W. */
export const SelectionMode = { LEGACY: 0, LONG: 1, LONG_W: 2 } as const;

const MODES = 3;
const CLASSES = 4;
const MAPS = 7;

const entries = new Int16Array(MAPS * 256 * CLASSES * MODES).fill(UNDEFINED_ENTRY);
const byModrm: Int16Array[] = [];

/** Takes one of `OpcodeMap`, the opcode byte, one of `PrefixClass`, one of `SelectionMode`. */
export function selectOpcode(map: number, opcode: number, prefixClass: number, mode: number): number {
  return entries[((map * 256 + opcode) * CLASSES + prefixClass) * MODES + mode];
}

/** Resolves an entry below UNDEFINED_ENTRY with the ModRM byte: a row's id or UNDEFINED_ENTRY. */
export function selectModrm(entry: number, modrm: number): number {
  return byModrm[-2 - entry][modrm];
}

/** Where two rows fit the same bytes the one that says more about them holds. */
function specificity(row: OpcodeRow): number {
  let classes = 0;
  for (let bits = row.prefixClasses; bits !== 0; bits >>= 1) classes += bits & 1;
  return (
    (row.modrm >= 0 ? 32 : 0) +
    (row.digit >= 0 ? 16 : 0) +
    (row.w >= 0 ? 8 : 0) +
    (CLASSES - classes) * 2 +
    (row.registerInOpcode ? 0 : 1)
  );
}

function fitsMode(row: OpcodeRow, mode: number): boolean {
  if (mode === SelectionMode.LEGACY) return !row.only64 && row.w !== 1;
  return !row.no64 && (row.w < 0 || row.w === (mode === SelectionMode.LONG_W ? 1 : 0));
}

function fitsModrm(row: OpcodeRow, modrm: number): boolean {
  if (row.mod === 'register' && modrm < 0xc0) return false;
  if (row.mod === 'memory' && modrm >= 0xc0) return false;
  if (row.digit >= 0 && row.digit !== ((modrm >> 3) & 7)) return false;
  return row.modrm < 0 || (modrm >= row.modrm && modrm < row.modrm + row.modrmCount);
}

/** The most specific of the rows; a tie is a mistake in the table. */
function best(rows: readonly OpcodeRow[], where: string): number {
  if (rows.length === 0) return UNDEFINED_ENTRY;
  const [first, second] = rows.toSorted((a, b) => specificity(b) - specificity(a));
  assert(
    second === undefined || specificity(first) > specificity(second),
    `${first.encoding} ${first.mnemonic} and ${second?.encoding} ${second?.mnemonic} both fit ${where}`,
  );
  return first.id;
}

function entryOf(rows: readonly OpcodeRow[], where: string): number {
  if (!rows.some((row) => row.hasModrm)) return best(rows, where);
  const table = new Int16Array(256);
  for (let modrm = 0; modrm < 256; modrm++)
    table[modrm] = best(
      rows.filter((row) => fitsModrm(row, modrm)),
      where,
    );
  if (table.every((id) => id === table[0])) return table[0];
  return -2 - (byModrm.push(table) - 1);
}

function rowsByOpcode(): OpcodeRow[][] {
  const lists = Array.from({ length: MAPS * 256 }, (): OpcodeRow[] => []);
  for (const row of opcodeTable) {
    for (let n = 0; n < (row.registerInOpcode ? 8 : 1); n++) lists[row.map * 256 + row.opcode + n].push(row);
  }
  return lists;
}

function build(): void {
  rowsByOpcode().forEach((rows, opcode) => {
    for (let prefixClass = 0; prefixClass < CLASSES; prefixClass++) {
      for (let mode = 0; mode < MODES; mode++) {
        const fitting = rows.filter((row) => ((row.prefixClasses >> prefixClass) & 1) === 1 && fitsMode(row, mode));
        const where = `map ${opcode >> 8} opcode ${opcode & 255} prefix class ${prefixClass} mode ${mode}`;
        entries[(opcode * CLASSES + prefixClass) * MODES + mode] = entryOf(fitting, where);
      }
    }
  });
}

build();
