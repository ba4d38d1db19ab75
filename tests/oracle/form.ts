// SPDX-License-Identifier: Apache-2.0

import type { Draft } from './draft.ts';
import type { DataKind } from './values.ts';

// RFLAGS bits, for the tables of undefined flags.
export const CF = 0x001;
export const PF = 0x004;
export const AF = 0x010;
export const ZF = 0x040;
export const SF = 0x080;
export const DF = 0x400;
export const OF = 0x800;

export type RegisterKind = 'general' | 'xmm' | 'mmx' | 'x87';

export type FormOptions = {
  /** One form per letter: b, w, d, q = 1, 2, 4, 8 bytes, with 66 and REX.W as needed. Without: the code says all. */
  sizes?: string;
  /** What ModR/M.rm may be. Default both. */
  rm?: 'register' | 'memory' | 'both';
  /** Which registers ModR/M.reg and .rm name. Default general. */
  reg?: RegisterKind;
  registers?: RegisterKind;
  /** Bytes the memory operand has; default the operand size. */
  memory?: number;
  /** Memory must be aligned to this; most cases obey, some do not. */
  align?: number;
  /** What the operands hold. Default integer. */
  data?: DataKind;
  /** LOCK is allowed with a memory destination. */
  lock?: boolean;
  /** RFLAGS bits the manual leaves undefined. */
  undefined?: number | ((draft: Draft) => number);
  /** A REP prefix is part of the code: step until RIP moves. */
  repeat?: boolean;
  /** Sets implied registers and so on, once the operands are chosen and before an address is made. */
  prepare?: (draft: Draft) => void;
  /** Says what else may differ, once the case is complete. */
  allow?: (draft: Draft) => void;
  /** A program of many instructions instead of one. */
  stream?: boolean;
  /** Prefixes to put before the others, that change nothing. */
  redundant?: (draft: Draft) => number[];
  /** Writes the whole instruction instead of `code`. */
  emit?: (draft: Draft) => number[];
};

/** One encoding to test. `code` is the manual's notation: `66 REX.W 0F 38 F6 /r ib`. */
export type Form = FormOptions & {
  /** `add 01 /r d`: mnemonic, code, size letter. Unique. */
  readonly name: string;
  readonly mnemonic: string;
  readonly group: string;
  readonly code: string;
  /** Operand size in bytes; 0 where the code has no sizes. */
  readonly size: number;
};

// prettier-ignore
const SIZE_OF: Record<string, number> = { b: 1, w: 2, d: 4, q: 8 };

/** A row of a group's table, spread over its operand sizes. */
export type Row = readonly [mnemonic: string, code: string, options?: FormOptions];

export function formsOf(group: string, rows: readonly Row[]): Form[] {
  return rows.flatMap(([mnemonic, code, options = {}]) => {
    if (!options.sizes) return [{ ...options, name: `${mnemonic} ${code}`, mnemonic, group, code, size: 0 }];
    return Array.from(options.sizes, (letter) => ({
      ...options,
      name: `${mnemonic} ${code} ${letter}`,
      mnemonic,
      group,
      code,
      size: SIZE_OF[letter],
    }));
  });
}
