// SPDX-License-Identifier: Apache-2.0

export type Unit = 'bytes' | 'packages' | 'files';

/** Where progress is shown. */
export interface ProgressOutput {
  write(text: string): void;
  /** A terminal: the line is drawn over. Otherwise each line stays. */
  readonly isTerminal: boolean;
  /** Milliseconds, from any origin. */
  now(): number;
}

const SILENT_MILLISECONDS = 2000;
const TERMINAL_INTERVAL = 100;
const LINE_INTERVAL = 5000;
const ERASE_LINE = '\r\u001b[K';

/** Says what is being done, once the whole has taken longer than two seconds. Notices are always shown. */
export class ProgressReporter {
  readonly #output: ProgressOutput;
  #started: number | undefined;
  #stage = '';
  #shown = -Infinity;
  #drawn = false;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  stage(text: string): void {
    this.#started ??= this.#output.now();
    this.#stage = text;
    this.#show('', true);
  }

  amount(done: number, total: number, unit: Unit): void {
    this.#show(`: ${describeAmount(done, total, unit)}`, done >= total);
  }

  notice(text: string): void {
    this.#erase();
    this.#output.write(`turtles: ${text}\n`);
  }

  done(): void {
    this.#erase();
    this.#started = undefined;
  }

  #show(detail: string, important: boolean): void {
    const now = this.#output.now();
    if (this.#started === undefined || now - this.#started < SILENT_MILLISECONDS) return;
    const interval = this.#output.isTerminal ? TERMINAL_INTERVAL : LINE_INTERVAL;
    if (!important && now - this.#shown < interval) return;
    this.#shown = now;
    const line = `turtles: ${this.#stage}${detail}`;
    this.#output.write(this.#output.isTerminal ? `${ERASE_LINE}${line}` : `${line}\n`);
    this.#drawn = this.#output.isTerminal;
  }

  #erase(): void {
    if (this.#drawn) this.#output.write(ERASE_LINE);
    this.#drawn = false;
  }
}

/** "12.3 of 61.0 MB (20 %)", "3 of 42 packages". */
export function describeAmount(done: number, total: number, unit: Unit): string {
  if (unit !== 'bytes') return `${done} of ${total} ${unit}`;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${megabytes(done)} of ${megabytes(total)} MB (${percent} %)`;
}

/** Progress on standard error. */
export function standardErrorProgress(): ProgressReporter {
  const isTerminal = process.stderr.isTTY === true;
  return new ProgressReporter({
    write: (text) => process.stderr.write(text),
    isTerminal,
    now: () => performance.now(),
  });
}
