// SPDX-License-Identifier: Apache-2.0
import { factsOf } from '../debug/failed-entry-facts.ts';
import type { FailedEntryFacts } from '../debug/failed-entry-facts.ts';
import { failedEntryLines } from '../debug/failed-entry-text.ts';
import type { LevelSymbols } from '../debug/level-symbols.ts';
import type { FailedEntry } from '../trace/failed-entry.ts';
import type { RunRecorder } from '../trace/recorder.ts';
import type { Session } from './session.ts';

/** What becomes of a run when a guest's VM entry fails. */
export const ON_ENTRY_FAILURE = ['report', 'stop'] as const;
export type OnEntryFailure = (typeof ON_ENTRY_FAILURE)[number];

/** So many failures are explained; of a rule that one place breaks again and again, the first. */
const EXPLAINED = 20;

/** Explains the failed VM entries of a run as they happen. */
export class EntryFailures {
  /** A failed entry was to end the run, and there was one. */
  stopped = false;
  /** Of all levels. */
  count = 0;
  /** Those that were explained, in their order. */
  readonly explained: FailedEntryFacts[] = [];
  readonly #session: Session;
  readonly #mode: OnEntryFailure;
  readonly #symbols: LevelSymbols;
  readonly #recording: string | undefined;
  readonly #write: (lines: readonly string[]) => void;
  readonly #places = new Set<string>();

  /** `write` gets the lines of one explanation, without ends of line. `recording`: the file of --record. */
  constructor(
    session: Session,
    recorder: RunRecorder,
    mode: OnEntryFailure,
    symbols: LevelSymbols,
    write: (lines: readonly string[]) => void,
    recording?: string,
  ) {
    this.#recording = recording;
    this.#session = session;
    this.#mode = mode;
    this.#symbols = symbols;
    this.#write = write;
    recorder.onFailedEntry = (failed) => this.#failed(failed);
  }

  #failed(failed: FailedEntry): void {
    this.count++;
    if (this.#mode === 'stop') {
      this.stopped = true;
      this.#session.stop();
    }
    const which = `${failed.level} ${failed.rule.id} ${failed.rip}`;
    if (this.#places.has(which) || this.explained.length >= EXPLAINED) return;
    this.#places.add(which);
    const { instructions, memory } = this.#session;
    const facts = factsOf(failed, instructions, (address, { cr3 }) => this.#symbols.name(address, memory, cr3));
    this.explained.push(facts);
    this.#write(failedEntryLines(facts, this.#recording));
  }

  /** What was not explained, for the end of the run: a line, or none. */
  remark(): string | undefined {
    const more = this.count - this.explained.length;
    if (more === 0) return undefined;
    return `${more} more failed VM ${more === 1 ? 'entry' : 'entries'}, of ${this.count} in all, ${this.explained.length >= EXPLAINED ? 'not explained' : 'by the same instructions and rules'}`;
  }
}
