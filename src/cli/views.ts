// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { ConsoleMux } from '../platform/node/console-mux.ts';
import { ESCAPE_HELP } from '../platform/node/escape.ts';
import type { Host } from '../platform/node/host.ts';
import type { ConsoleChannel } from '../system/console-channel.ts';
import type { GuestDescription } from '../system/descriptions.ts';

/** How the consoles of a run are shown. */
export interface ConsoleView {
  /** A complete line on a console: its text has one character for each byte. */
  line(console: number, text: string): void;
  /** Lines about the run, of no console, without ends of line. */
  notice(lines: readonly string[]): void;
  /** After each slice. */
  show(): void;
  /** Somebody sits at a terminal, or may still type. */
  readonly interactive: boolean;
  /** The user asked to leave. */
  readonly left: boolean;
  /** The end of the run: shows what has no end yet, and gives the terminal back. */
  close(): void;
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Whole lines, each with its level before it, written at the instruction that completes them. */
export class BatchView implements ConsoleView {
  readonly interactive = false;
  readonly left = false;
  readonly #host: Host;
  readonly #description: GuestDescription;
  readonly #consoles: readonly ConsoleChannel[];

  constructor(description: GuestDescription, consoles: readonly ConsoleChannel[], host: Host) {
    this.#description = description;
    this.#consoles = consoles;
    this.#host = host;
  }

  line(console: number, text: string): void {
    this.#host.write(bytesOf(`${this.#description.levels[console]!.name}: ${text}\n`));
  }

  notice(lines: readonly string[]): void {
    this.#host.writeError(`turtles: ${lines.map((text) => `${text}\n`).join('')}`);
  }

  /** Lines are shown as they come: a slice of nothing but exits can take long. */
  show(): void {}

  close(): void {
    for (const [index, console] of this.#consoles.entries()) {
      if (console.unfinished !== '') this.line(index, console.unfinished);
    }
  }
}

/** One level's console is the terminal, from its first byte on; the others' lines stream by in colour. */
export class TerminalView implements ConsoleView {
  readonly interactive = true;
  left = false;
  readonly #host: Host;
  readonly #description: GuestDescription;
  readonly #consoles: readonly ConsoleChannel[];
  readonly #mux: ConsoleMux;
  #restore: (() => void) | undefined;

  constructor(description: GuestDescription, consoles: readonly ConsoleChannel[], host: Host) {
    this.#description = description;
    this.#consoles = consoles;
    this.#host = host;
    const levels = description.levels.map(({ name, colour }, index) => {
      return { name, colour, mode: index === description.interactive ? ('raw' as const) : ('lines' as const) };
    });
    const attached = () => this.#restore !== undefined;
    this.#mux = new ConsoleMux(levels, {
      write: host.write,
      colours: host.colours,
      get newline() {
        return attached() ? '\r\n' : '\n';
      },
    });
    const { name } = description.levels[description.interactive]!;
    host.writeError(
      `turtles: ${name}'s console will be joined to this terminal when ${name} first speaks; then Ctrl-A x leaves\n`,
    );
  }

  /** What was said before it comes first, and a terminal in raw mode needs carriage returns. */
  notice(lines: readonly string[]): void {
    this.show();
    const end = this.#restore === undefined ? '\n' : '\r\n';
    this.#host.writeError(`turtles: ${lines.map((text) => `${text}${end}`).join('')}`);
  }

  /** Lines of levels that stream by come with their bytes. */
  line(): void {}

  show(): void {
    for (const [index, console] of this.#consoles.entries()) {
      const bytes = console.take();
      if (bytes.length === 0) continue;
      if (index === this.#description.interactive) this.#attach();
      this.#mux.write(index, bytes);
    }
  }

  close(): void {
    this.show();
    this.#mux.flush();
    this.#restore?.();
  }

  #attach(): void {
    this.#restore ??= this.#host.attachTerminal({
      onKeys: (bytes) => {
        this.#consoles[this.#description.interactive]!.type(bytes);
        this.#host.wake();
      },
      onCommand: (command) => {
        if (command === 'help') return this.#host.write(ESCAPE_HELP);
        this.left = true;
        this.#host.wake();
      },
    });
  }
}

/** Before anything is booted or fetched: whether there is a terminal for a run that wants one. */
export function checkTerminal(host: Host): void {
  if (host.hasTerminal) return;
  throw new UserError(
    'the shell needs a terminal, and standard input or output is none',
    'run with --batch, which needs no terminal',
  );
}
