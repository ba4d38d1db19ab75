// SPDX-License-Identifier: Apache-2.0

const NEWLINE = 0x0a;
const RETURN = 0x0d;
/** A line longer than this is shown in parts. */
const MAXIMUM_LINE = 4096;
const RESET = '\u001b[0m';

/** How the console of one level is shown. */
export interface ConsoleLevel {
  /** "L1": put before its lines when colours cannot tell. */
  readonly name: string;
  /** SGR parameters of its colour ("36", "2;33"), or '' for the terminal's own. */
  readonly colour: string;
  /** `lines`: whole lines, so that levels do not mix within one. `raw`: every byte at once, for a shell. */
  readonly mode: 'lines' | 'raw';
}

export interface ConsoleOutput {
  write(bytes: Uint8Array): void;
  readonly colours: boolean;
  /** "\r\n" while the terminal is raw. */
  readonly newline: '\n' | '\r\n';
}

/** Colours are for terminals, unless the user wants none. See: no-color.org. */
export function wantsColours(
  output: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  return output.isTTY === true && (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb';
}

/** Shows the consoles of several levels in one stream. */
export class ConsoleMux {
  readonly #output: ConsoleOutput;
  readonly #levels: readonly ConsoleLevel[];
  readonly #pending: number[][];
  /** The raw level whose bytes end the stream, when they do not end a line. */
  #openLevel: number | undefined;

  constructor(levels: readonly ConsoleLevel[], output: ConsoleOutput) {
    this.#levels = levels;
    this.#output = output;
    this.#pending = levels.map(() => []);
  }

  /** Bytes that level number `level` (an index into the levels) has sent. */
  write(level: number, bytes: Uint8Array): void {
    if (this.#levels[level]!.mode === 'raw') this.#writeRaw(level, bytes);
    else for (const byte of bytes) this.#collect(level, byte);
  }

  /** Shows the lines that have no end yet; at the end of a run. */
  flush(): void {
    this.#pending.forEach((line, level) => line.length > 0 && this.#writeLine(level));
    this.#closeOpenLine();
  }

  #writeRaw(level: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.#openLevel !== level) this.#closeOpenLine();
    this.#output.write(bytes);
    this.#openLevel = bytes.at(-1) === NEWLINE ? undefined : level;
  }

  #collect(level: number, byte: number): void {
    const line = this.#pending[level]!;
    if (byte === NEWLINE) return this.#writeLine(level);
    if (byte !== RETURN) line.push(byte);
    if (line.length >= MAXIMUM_LINE) this.#writeLine(level);
  }

  #writeLine(level: number): void {
    this.#closeOpenLine();
    const { name, colour } = this.#levels[level]!;
    const coloured = this.#output.colours && colour !== '';
    const before = coloured ? `\u001b[${colour}m` : this.#output.colours ? '' : `${name}: `;
    const after = (coloured ? RESET : '') + this.#output.newline;
    this.#output.write(
      Buffer.concat([Buffer.from(before), Uint8Array.from(this.#pending[level]!), Buffer.from(after)]),
    );
    this.#pending[level] = [];
  }

  /** Puts the next line on one of its own. */
  #closeOpenLine(): void {
    if (this.#openLevel !== undefined) this.#output.write(Buffer.from(this.#output.newline));
    this.#openLevel = undefined;
  }
}
