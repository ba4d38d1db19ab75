// SPDX-License-Identifier: Apache-2.0
// A sequence of exits, each as L1 finds it. The first run is recorded as what changes from exit to exit; the second is
// compared while it runs, so that nothing of it is kept but the last few exits.
import { exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import type { Layout } from './seen-exit.ts';

const FIRST_WORDS = 1 << 16;
/** How many exits a report shows in front of the one that differs. */
const SHOWN_BEFORE = 8;

/** Words that changed: a number of pairs, then for each its index and its value. About 40 words an exit. */
export class RecordedExits {
  count = 0;
  #words = new Uint32Array(FIRST_WORDS);
  #used = 0;
  readonly #last: Uint32Array;

  constructor(layout: Layout) {
    this.#last = new Uint32Array(layout.words);
  }

  get bytes(): number {
    return 4 * this.#used;
  }

  add(exit: Uint32Array): void {
    this.#reserve(1 + 2 * exit.length);
    const words = this.#words;
    const head = this.#used++;
    for (let i = 0; i < exit.length; i++) {
      if (exit[i] === this.#last[i]) continue;
      words[this.#used++] = i;
      words[this.#used++] = exit[i];
    }
    words[head] = (this.#used - head - 1) / 2;
    this.#last.set(exit);
    this.count++;
  }

  /** Plays the sequence back: each call brings `exit` to the next; false at the end. */
  player(): (exit: Uint32Array) => boolean {
    let at = 0;
    return (exit) => {
      if (at >= this.#used) return false;
      const end = at + 1 + 2 * this.#words[at];
      for (at++; at < end; at += 2) exit[this.#words[at]] = this.#words[at + 1];
      return true;
    };
  }

  #reserve(words: number): void {
    if (this.#used + words <= this.#words.length) return;
    const larger = new Uint32Array(2 * this.#words.length);
    larger.set(this.#words);
    this.#words = larger;
  }
}

/** A value that is not the same: where, and both, in hexadecimal. */
export interface Difference {
  /** From 0. */
  readonly exit: number;
  readonly name: string;
  readonly bare: bigint;
  readonly under: bigint;
}

/** Compares what L1 finds under L0, exit by exit, with what it found on the machine itself. */
export class ComparedExits {
  /** Exits compared so far. */
  count = 0;
  readonly #layout: Layout;
  readonly #next: (exit: Uint32Array) => boolean;
  readonly #expected: Uint32Array;
  readonly #before: string[] = [];
  readonly #reason: number;
  readonly #rip: number;

  constructor(layout: Layout, recorded: RecordedExits) {
    this.#layout = layout;
    this.#next = recorded.player();
    this.#expected = new Uint32Array(layout.words);
    this.#reason = 2 * layout.names.indexOf('VM_EXIT_REASON');
    this.#rip = 2 * layout.names.indexOf('GUEST_RIP');
  }

  /** The next exit of the recorded run is to be compared; false: it had no more. */
  advance(): boolean {
    if (this.count > 0) this.#remember();
    this.count++;
    return this.#next(this.#expected);
  }

  /** All values in which the exit differs from the recorded one. */
  differences(got: Uint32Array): Difference[] {
    const found: Difference[] = [];
    for (let i = 0; i < got.length; i += 2)
      if (got[i] !== this.#expected[i] || got[i + 1] !== this.#expected[i + 1])
        found.push({
          ...{ exit: this.count - 1, name: this.#layout.names[i >> 1] },
          ...{ bare: wide(this.#expected, i), under: wide(got, i) },
        });
    return found;
  }

  /** The exit that is being compared, and those before it, as the recorded run had them. */
  context(): string {
    return [...this.#before, this.#line()].join('\n');
  }

  #remember(): void {
    this.#before.push(this.#line());
    if (this.#before.length > SHOWN_BEFORE) this.#before.shift();
  }

  #line(): string {
    const reason = this.#expected[this.#reason];
    const name = exitReason(reason & 0xffff)?.name ?? `reason ${reason & 0xffff}`;
    const tsc = wide(this.#expected, this.#expected.length - 2);
    const rip = wide(this.#expected, this.#rip).toString(16);
    return `exit ${this.count - 1} at ${tsc}: ${name}${reason >= 0x80000000 ? ' (failed entry)' : ''}, RIP ${rip}`;
  }
}

function wide(words: Uint32Array, index: number): bigint {
  return (BigInt(words[index + 1]) << 32n) | BigInt(words[index]);
}

/** For people: each value that differs, then the exits that led to it. */
export function report(found: readonly Difference[], context: string): string {
  const lines = found.map(
    ({ exit, name, bare, under }) =>
      `exit ${exit}: ${name} is ${bare.toString(16)} bare, ${under.toString(16)} under L0`,
  );
  return [...lines, 'the last exits, as on the machine itself:', context].join('\n');
}
