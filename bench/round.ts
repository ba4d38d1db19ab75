// SPDX-License-Identifier: Apache-2.0
import type { Column, Console, Contender } from './contenders.ts';
import { cpuSecondsOf, follow, residencyOf } from './follow.ts';
import type { Residency } from './follow.ts';
import type { Image } from './image.ts';
import { Ledger, total } from './ledger.ts';
import type { Reading } from './ledger.ts';
import { parseMarker } from './markers.ts';

/** What a column came to in one round. */
export interface ColumnReadings {
  readonly rows: Readonly<Record<string, Reading>>;
  /** Seconds of CPU time from the start of the process to the column's userspace, without rows of outer levels. */
  readonly userspace: number;
  /** Of the process when the column's last row had ended. */
  readonly residency: Residency;
}

export type Round = Partial<Record<Column, ColumnReadings>>;

/** Runs a contender once. */
export async function runContender(contender: Contender, image: Image): Promise<Round> {
  const watched = contender.consoles.map((console) => new WatchedConsole(console));
  const began = performance.now();
  const started = await contender.start(image);
  await follow(started, (text, pid) => {
    watched.find(({ console }) => text.startsWith(console.prefix))?.line(text, pid);
  }).catch((error: unknown) => {
    throw new Error(`${contender.name}: ${(error as Error).message}`);
  });
  let before = 0;
  const columns = watched.map((one) => {
    const readings = one.readings(contender.name, before);
    before += one.cpu;
    return [one.console.column, readings] as const;
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `  ${contender.name}: ${columns.map(([column, readings]) => says(column, readings)).join('; ')}; ${seconds} s`,
  );
  return Object.fromEntries(columns);
}

function says(column: Column, { rows, userspace }: ColumnReadings): string {
  const inRows = Object.values(rows).reduce((sum, { cpu }) => sum + cpu, 0);
  return `${column}: ${userspace.toFixed(1)} CPU s to userspace, ${inRows.toFixed(1)} in rows`;
}

class WatchedConsole {
  readonly console: Console;
  readonly #ledger = new Ledger();
  #residency: Residency | undefined;

  constructor(console: Console) {
    this.console = console;
  }

  line(text: string, pid: number): void {
    if (parseMarker(text) === undefined) return;
    this.#ledger.line(text, cpuSecondsOf(pid));
    if (this.#ledger.missing(this.console.rows) === undefined) this.#residency ??= residencyOf(pid);
  }

  /** Of all rows, in seconds. */
  get cpu(): number {
    return total(this.#ledger);
  }

  /** `before`: what rows of outer levels took until the first row of this one. */
  readings(name: string, before: number): ColumnReadings {
    const { readings, userspace } = this.#ledger;
    const missing = this.#ledger.missing(this.console.rows);
    if (missing !== undefined) throw new Error(`${name}: row ${missing} did not end`);
    return { rows: Object.fromEntries(readings), userspace: userspace! - before, residency: this.#residency! };
  }
}

/** Throws when a row's sum is not the same everywhere: then one of the machines computes something else. */
export function checkSums(rounds: readonly Round[]): void {
  const first = new Map<string, { column: string; sum: string }>();
  for (const round of rounds) {
    for (const [column, { rows }] of Object.entries(round)) {
      for (const [row, { sum }] of Object.entries(rows)) {
        const other = first.get(row);
        if (other === undefined) first.set(row, { column, sum });
        else if (other.sum !== sum)
          throw new Error(`row ${row}: ${column} computed ${sum}, and ${other.column} ${other.sum}`);
      }
    }
  }
}
