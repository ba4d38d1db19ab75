// SPDX-License-Identifier: Apache-2.0

/** Basic exit reasons are below this. */
const REASONS = 128;
const BASIC_REASON = 0x7f;
const RECENT = 16;

/** What is known of all exits with one reason. Times are virtual nanoseconds from exit to the next entry. */
export interface ExitCount {
  /** Basic exit reason. */
  readonly reason: number;
  readonly samples: number;
  readonly total: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Standard error of the mean over the mean, 0 for a single sample. */
  readonly relativeDeviation: number;
}

export interface RecentExit {
  /** The exit reason with its flags. */
  readonly reason: number;
  /** Signed below 0, as linear addresses are. */
  readonly rip: number;
  readonly nanoseconds: number;
}

/**
 * Exits of the guests of one level: how many for each reason, and how long until the guest ran again. Calls cost a few
 * array accesses. An exit that is not followed by an entry (the guest was given up) is counted, with no time.
 */
export class ExitStatistics {
  readonly #samples = new Float64Array(REASONS);
  readonly #timed = new Float64Array(REASONS);
  readonly #total = new Float64Array(REASONS);
  readonly #squares = new Float64Array(REASONS);
  readonly #minimum = new Float64Array(REASONS).fill(Infinity);
  readonly #maximum = new Float64Array(REASONS);
  /** By processor: the reason and the time of an exit that no entry has followed; -1 for none. */
  readonly #openReason: number[] = [];
  readonly #openSince: number[] = [];
  readonly #recent: RecentExit[] = [];
  #count = 0;

  /** All exits. */
  get count(): number {
    return this.#count;
  }

  /** Exits with one basic reason. */
  samplesOf(reason: number): number {
    return this.#samples[reason];
  }

  /** A processor left the guest. `reason` is the VMCS's exit reason; `rip` a signed Number. */
  exit(processor: number, reason: number, rip: number, nanoseconds: number): void {
    const basic = reason & BASIC_REASON;
    this.#samples[basic]++;
    this.#openReason[processor] = basic;
    this.#openSince[processor] = nanoseconds;
    this.#recent[this.#count++ % RECENT] = { reason, rip, nanoseconds };
  }

  /** A processor entered the guest. */
  entry(processor: number, nanoseconds: number): void {
    const reason = this.#openReason[processor] ?? -1;
    if (reason < 0) return;
    const time = nanoseconds - this.#openSince[processor];
    this.#openReason[processor] = -1;
    this.#timed[reason]++;
    this.#total[reason] += time;
    this.#squares[reason] += time * time;
    if (time < this.#minimum[reason]) this.#minimum[reason] = time;
    if (time > this.#maximum[reason]) this.#maximum[reason] = time;
  }

  /** Every reason that occurred, the most frequent first. */
  counts(): ExitCount[] {
    const reasons = Array.from(this.#samples.keys()).filter((reason) => this.#samples[reason] > 0);
    const counts = reasons.map((reason) => this.#countOf(reason));
    return counts.toSorted((a, b) => b.samples - a.samples || a.reason - b.reason);
  }

  /** The last exit of all, if no entry on that processor has followed it: its hypervisor was still at work. */
  unanswered(processor: number): RecentExit | undefined {
    if (this.#count === 0 || (this.#openReason[processor] ?? -1) < 0) return undefined;
    return this.#recent[(this.#count - 1) % RECENT];
  }

  /** The last exits, oldest first. */
  recent(): RecentExit[] {
    const start = this.#count % RECENT;
    return this.#count < RECENT ? [...this.#recent] : [...this.#recent.slice(start), ...this.#recent.slice(0, start)];
  }

  #countOf(reason: number): ExitCount {
    const timed = this.#timed[reason];
    const total = this.#total[reason];
    return {
      reason,
      samples: this.#samples[reason],
      total,
      minimum: timed === 0 ? 0 : this.#minimum[reason],
      maximum: this.#maximum[reason],
      relativeDeviation: relativeDeviation(timed, total, this.#squares[reason]),
    };
  }
}

function relativeDeviation(samples: number, total: number, squares: number): number {
  if (samples < 2 || total === 0) return 0;
  const mean = total / samples;
  const variance = Math.max(0, (squares - total * mean) / (samples - 1));
  return Math.sqrt(variance / samples) / mean;
}
