// SPDX-License-Identifier: Apache-2.0
import type { TraceEvent, TraceEventName, TraceFields } from './events.ts';
import { ExitStatistics } from './exit-statistics.ts';
import type { FailedEntry } from './failed-entry.ts';
import { FieldWriters } from './field-writers.ts';

/**
 * Where the machine's VMX and L0 report what happens. `exit` and `entry` are cheap and always called; an `event` is put
 * together only `if (recorder.tracing)`. Levels count from 1: the guest of L0 (or, without L0, a hypervisor on the
 * machine itself) is 1, its guest is 2. Times are virtual nanoseconds since power-on.
 */
export interface Recorder {
  readonly tracing: boolean;
  /** Who wrote which VMCS field; undefined when nobody will ask. */
  readonly writers?: FieldWriters | undefined;
  /** A processor left a guest of this level. `reason` with its flags; `rip` as a signed Number. */
  exit(level: number, processor: number, reason: number, rip: number, nanoseconds: number): void;
  /** A processor began or went on to run a guest of this level. */
  entry(level: number, processor: number, nanoseconds: number): void;
  /** `level` is who records: 0 for L0, 1 for L1 as the machine sees it. */
  event<Name extends TraceEventName>(
    name: Name,
    level: number,
    processor: number,
    nanoseconds: number,
    fields: TraceFields<Name>,
  ): void;
  /** A hypervisor's VM entry failed. Called before anything of it is changed. */
  failedEntry?(failed: FailedEntry): void;
}

/** For who wants to know nothing. */
export const noRecorder: Recorder = { tracing: false, exit: () => {}, entry: () => {}, event: () => {} };

/** Counts the exits of each level, and hands events on to `sink` when there is one. */
export class RunRecorder implements Recorder {
  readonly tracing: boolean;
  readonly #sink: ((event: TraceEvent) => void) | undefined;
  readonly #levels: ExitStatistics[] = [];
  readonly writers = new FieldWriters();
  /** Told of each failed entry. */
  onFailedEntry: (failed: FailedEntry) => void = () => {};

  constructor(sink?: (event: TraceEvent) => void) {
    this.#sink = sink;
    this.tracing = sink !== undefined;
  }

  exit(level: number, processor: number, reason: number, rip: number, nanoseconds: number): void {
    this.exitsOf(level).exit(processor, reason, rip, nanoseconds);
  }

  entry(level: number, processor: number, nanoseconds: number): void {
    this.exitsOf(level).entry(processor, nanoseconds);
  }

  event<Name extends TraceEventName>(
    name: Name,
    level: number,
    processor: number,
    nanoseconds: number,
    fields: TraceFields<Name>,
  ): void {
    this.#sink?.({ name, level, processor, nanoseconds, fields });
  }

  failedEntry(failed: FailedEntry): void {
    this.onFailedEntry(failed);
  }

  /** The exits of guests of one level, also when there were none. */
  exitsOf(level: number): ExitStatistics {
    return (this.#levels[level] ??= new ExitStatistics());
  }
}
