// SPDX-License-Identifier: Apache-2.0

/** Where a row is run: on the machine itself (ours, or another's), as L1 under L0, in L2. */
export type Level = 'bare' | 'l1' | 'l2';
export const LEVELS: readonly Level[] = ['bare', 'l1', 'l2'];

/** What the rows are about. A mean is taken of the first two. */
export type RowSet = 'compute' | 'system' | 'memory' | 'idle' | 'exits';

/** A row of guests/bench/main.c. */
export interface Row {
  readonly name: string;
  readonly set: RowSet;
  readonly says: string;
  /** Without: all. */
  readonly levels?: readonly Level[];
  /** How often the row does it, where a price is of interest. */
  readonly times?: number;
}

/** The first row of every run: it shows what beginning and ending one costs, and that userspace was reached. */
export const NOTHING = 'nothing';

/** An exit leaves a guest, and a machine that is no guest has none. */
const GUESTS: readonly Level[] = ['l1', 'l2'];

// prettier-ignore
export const ROWS: readonly Row[] = [
  { name: 'integer',  set: 'compute', says: 'SHA-256 and a sieve' },
  { name: 'branchy',  set: 'compute', says: 'quicksort and binary search of random numbers' },
  { name: 'memory',   set: 'compute', says: 'pointer chase over 1 MiB' },
  { name: 'float',    set: 'compute', says: 'matrix product and divisions, scalar doubles' },
  { name: 'calls',    set: 'compute', says: 'recursive Fibonacci numbers' },
  { name: 'indirect', set: 'compute', says: 'byte code by a table of labels, calls through pointers' },
  { name: 'movsb',    set: 'compute', says: 'REP MOVSB, 64 KiB' },
  { name: 'stos',     set: 'compute', says: 'REP STOSQ, 64 KiB' },
  { name: 'chase',    set: 'memory',  says: 'pointer chase over 32 MiB' },
  { name: 'getpid',   set: 'system',  says: 'getpid' },
  { name: 'read',     set: 'system',  says: 'read of 1 byte of /dev/zero' },
  { name: 'fork',     set: 'system',  says: 'fork, exit, wait' },
  { name: 'exec',     set: 'system',  says: 'fork, execve, exit, wait' },
  { name: 'fault',    set: 'system',  says: 'first touch of small pages' },
  { name: 'pipe',     set: 'system',  says: 'one byte to another process and back' },
  { name: 'sleep',    set: 'idle',    says: 'sleeps of 1 ms' },
  { name: 'cpuid',    set: 'exits',   says: 'CPUID', levels: GUESTS, times: 50_000 },
  { name: 'out',      set: 'exits',   says: 'OUT to a port that user space answers', levels: GUESTS, times: 10_000 },
];

/** No row: only the way to userspace, which every run shows. */
const BOOT = 'boot';

/** Rows and sets by name, in the table's order. Throws when there is no such name. */
export function chooseRows(names: readonly string[]): readonly Row[] {
  for (const name of names) {
    if (name !== BOOT && ROWS.every((row) => row.name !== name && row.set !== name))
      throw new Error(`there is no row or set called ${name}; there are ${known().join(', ')}`);
  }
  return ROWS.filter((row) => names.includes(row.name) || names.includes(row.set));
}

const known = (): string[] => [BOOT, ...new Set(ROWS.map(({ set }) => set)), ...ROWS.map(({ name }) => name)];

export function rowsAt(rows: readonly Row[], level: Level): readonly string[] {
  return rows.filter((row) => row.levels === undefined || row.levels.includes(level)).map(({ name }) => name);
}
