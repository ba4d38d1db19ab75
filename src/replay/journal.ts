// SPDX-License-Identifier: Apache-2.0

/** Bytes that came in at a console before a slice began. */
export interface JournalInput {
  /** How many slices had begun. */
  readonly slice: number;
  /** Index of the console, COM1 first. */
  readonly console: number;
  readonly bytes: number[];
}

/** What came into a run from outside. Plain data: it is written as JSON. */
export interface Journal {
  /** Ticks of the slices in order, equal ones counted: [ticks, how many]. */
  readonly slices: [ticks: number, count: number][];
  readonly inputs: JournalInput[];
  /** Before which slices the machine was reset. */
  readonly resets: number[];
}

/** Keeps the journal of a run that is under way. */
export class JournalWriter {
  readonly #slices: [number, number][] = [];
  readonly #inputs: JournalInput[] = [];
  readonly #resets: number[] = [];
  #begun = 0;

  /** A slice of so many ticks begins: even if it never ends, it is in the journal. */
  slice(ticks: number): void {
    const last = this.#slices.at(-1);
    if (last?.[0] === ticks) last[1]++;
    else this.#slices.push([ticks, 1]);
    this.#begun++;
  }

  input(console: number, bytes: Iterable<number>): void {
    this.#inputs.push({ slice: this.#begun, console, bytes: [...bytes] });
  }

  reset(): void {
    this.#resets.push(this.#begun);
  }

  /** What has been noted so far. */
  get journal(): Journal {
    return {
      slices: this.#slices.map(([ticks, count]) => [ticks, count]),
      inputs: [...this.#inputs],
      resets: [...this.#resets],
    };
  }
}

/** One slice of a journal, with what comes before it. */
export interface JournalSlice {
  readonly ticks: number;
  readonly inputs: readonly JournalInput[];
  readonly reset: boolean;
}

/** The slices one by one. */
export function* slicesOf({ slices, inputs, resets }: Journal): Generator<JournalSlice> {
  let index = 0;
  let nextInput = 0;
  for (const [ticks, count] of slices) {
    for (let i = 0; i < count; i++, index++) {
      const first = nextInput;
      while (nextInput < inputs.length && inputs[nextInput]!.slice <= index) nextInput++;
      yield { ticks, inputs: inputs.slice(first, nextInput), reset: resets.includes(index) };
    }
  }
}
