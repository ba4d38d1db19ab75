// SPDX-License-Identifier: Apache-2.0
import type { ByteChannel } from '../hardware/ports.ts';

const NEWLINE = 0x0a;
const RETURN = 0x0d;
/** Lines kept for messages. */
const TAIL = 40;
/** A line that never ends is looked at in parts. */
const LONGEST_LINE = 4096;

export interface ConsoleListener {
  /** A line is complete, or the text of one that is not has grown by a byte. */
  (line: string, complete: boolean): void;
}

/** Escape sequences of terminals: they move, colour and ask, and are no text. See: ECMA-48 5.4 Control sequences. */
// oxlint-disable-next-line no-control-regex
const CONTROL_SEQUENCES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])/g;

/** The far end of a serial port: keeps what the guest said until somebody takes it, and what was typed until it reads. */
export class ConsoleChannel implements ByteChannel {
  listener: ConsoleListener | undefined;
  /** Told of what is typed: for the journal. */
  onTyped: ((bytes: readonly number[]) => void) | undefined;
  readonly #keep: boolean;
  readonly #input: number[] = [];
  #output = new Uint8Array(4096);
  #length = 0;
  #taken = 0;
  #forgotten = 0;
  #line = '';
  readonly #tail: string[] = [];

  /** `keep`: `transcript` has all that is ever sent; otherwise what was taken is forgotten. */
  constructor(keep = true) {
    this.#keep = keep;
  }

  /** Bytes sent since power-on. */
  get sent(): number {
    return this.#forgotten + this.#length;
  }

  send(byte: number): void {
    if (this.#length === this.#output.length) this.#grow();
    this.#output[this.#length++] = byte;
    if (byte !== NEWLINE && byte !== RETURN) this.#line += String.fromCharCode(byte);
    if (byte === NEWLINE || this.#line.length >= LONGEST_LINE) this.#endLine();
    else this.listener?.(this.#line, false);
  }

  receive(): number {
    return this.#input.shift() ?? -1;
  }

  /** Bytes for the guest to read. */
  type(bytes: Iterable<number>): void {
    const typed = [...bytes];
    this.onTyped?.(typed);
    this.#input.push(...typed);
  }

  /** What was sent since this was last called. */
  take(): Uint8Array {
    const bytes = this.#output.slice(this.#taken, this.#length);
    this.#taken = this.#length;
    if (!this.#keep) {
      this.#forgotten += this.#length;
      this.#length = this.#taken = 0;
    }
    return bytes;
  }

  /** All that was ever sent, when it is kept. */
  get transcript(): Uint8Array {
    return this.#output.subarray(0, this.#length);
  }

  /** The text of the line that has no end yet, a character for each byte. */
  get unfinished(): string {
    return this.#line;
  }

  /** The last lines, the unfinished one included, without what only a terminal understands. */
  tail(count: number): string[] {
    const lines = this.#line === '' ? this.#tail : [...this.#tail, this.#line];
    return lines.slice(-count).map((line) => line.replace(CONTROL_SEQUENCES, ''));
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    this.#tail.push(line);
    if (this.#tail.length > TAIL) this.#tail.shift();
    this.listener?.(line, true);
  }

  #grow(): void {
    const larger = new Uint8Array(this.#output.length * 2);
    larger.set(this.#output);
    this.#output = larger;
  }
}
