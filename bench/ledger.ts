// SPDX-License-Identifier: Apache-2.0
import { parseMarker } from './markers.ts';
import { NOTHING } from './rows.ts';

/** One row on one contender in one round. */
export interface Reading {
  /** Seconds of user and system time of the process while the row ran. */
  readonly cpu: number;
  /** Of the results: eight hexadecimal digits. */
  readonly sum: string;
}

/** Rows by name, on each console by what its lines begin with. */
export type Readings = ReadonlyMap<string, Reading>;

/** Of all rows that have ended: seconds. */
export function total(ledger: Ledger): number {
  return [...ledger.readings.values()].reduce((sum, { cpu }) => sum + cpu, 0);
}

/** The rows of one console, from its lines and what the process's clock of CPU time shows when each is read. */
export class Ledger {
  readonly readings = new Map<string, Reading>();
  /** From the start, or from the kernel being loaded, to the first row: the console's machine is in userspace. */
  userspace: number | undefined;
  #loaded = 0;
  #open: { readonly row: string; readonly at: number } | undefined;

  /** `now` in seconds. Throws when the guest says that a row failed, or ends one that did not begin. */
  line(text: string, now: number): void {
    const marker = parseMarker(text);
    if (marker === undefined) return;
    if (marker.kind === 'failure') throw new Error(`the guest program failed: ${marker.what}`);
    if (marker.kind === 'loaded') this.#loaded = now;
    else if (marker.kind === 'begin') this.#begin(marker.row, now);
    else this.#end(marker.row, marker.sum, now);
  }

  #begin(row: string, now: number): void {
    this.userspace ??= now - this.#loaded;
    this.#open = { row, at: now };
  }

  #end(row: string, sum: string, now: number): void {
    if (this.#open?.row !== row) throw new Error(`row ${row} ended and had not begun`);
    this.readings.set(row, { cpu: now - this.#open.at, sum });
    this.#open = undefined;
  }

  /** The first of the rows that has not ended; undefined when all have. */
  missing(rows: readonly string[]): string | undefined {
    return [NOTHING, ...rows].find((row) => !this.readings.has(row));
  }
}
