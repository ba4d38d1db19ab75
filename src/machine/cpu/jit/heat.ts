// SPDX-License-Identifier: Apache-2.0

export interface Thresholds {
  /** Mean number of instructions from one sample to the next. */
  readonly interval: number;
  /**
   * Executions after which an instruction is worth compiling: V8's optimizer takes some 60 us for an instruction, which
   * saves a nanosecond or two each time it runs compiled.
   */
  readonly worth: number;
  readonly leastSamples: number;
}
export const ORDINARY: Thresholds = { interval: 8192, worth: 80_000, leastSamples: 2 };
export const SOON: Thresholds = { interval: 64, worth: 16, leastSamples: 1 };

/** A block that a region covers already is compiled once more, as an entry of its own, only if it stays this hot. */
const COVERED = 4;

/**
 * Where the interpreter spends its instructions, by samples at pseudo-random but always the same distances: a counter at
 * every block would cost what it is to save.
 */
export class Heat {
  private readonly samples = new Map<number, number>();
  private readonly wanted = new Map<number, number>();
  private readonly thresholds: Thresholds;
  private state = 1;

  constructor(thresholds: Thresholds) {
    this.thresholds = thresholds;
  }

  /** Instructions until the next sample. */
  nextInterval(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    const { interval } = this.thresholds;
    return interval / 2 + ((this.state >>> 16) % interval);
  }

  of(head: number): number {
    return this.samples.get(head) ?? 0;
  }

  /** Notes a sample of a block of `count` instructions; true when it should be compiled now. */
  sample(head: number, count: number): boolean {
    const samples = this.of(head) + 1;
    this.samples.set(head, samples);
    const { interval, worth, leastSamples } = this.thresholds;
    const factor = this.wanted.get(head) ?? 1;
    if (samples < factor * Math.max(leastSamples, (count * worth) / interval)) return false;
    this.wanted.set(head, Infinity);
    return true;
  }

  covered(head: number): void {
    if (this.wanted.get(head) !== Infinity) this.wanted.set(head, COVERED);
  }
  forget(head: number): void {
    this.samples.delete(head);
    this.wanted.delete(head);
  }
  clear(): void {
    this.samples.clear();
    this.wanted.clear();
  }
}
