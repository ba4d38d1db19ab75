// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import { EscapeFilter } from './escape.ts';
import type { EscapeCommand } from './escape.ts';
import { exitOnSignals, restoredAtExit } from './signals.ts';
import type { ProcessSignals } from './signals.ts';

/** What we use of a terminal's input: process.stdin, or a test's. */
export interface TerminalInput {
  readonly isTTY?: boolean;
  setRawMode(raw: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown;
  off(event: 'data', listener: (chunk: Uint8Array) => void): unknown;
}

export interface TerminalOptions {
  /** Keys for the guest; Ctrl-C is one of them. */
  readonly onKeys: (bytes: Uint8Array) => void;
  readonly onCommand: (command: EscapeCommand) => void;
}

/**
 * Gives the keyboard to the guest: raw mode, with Ctrl-A as the way out. Until the returned function is called; the
 * terminal is restored then, and also when the process exits, fails, or is told to end by a signal (128 + n).
 */
export function attachTerminal(
  options: TerminalOptions,
  input: TerminalInput = process.stdin,
  target: ProcessSignals = process,
): () => void {
  if (input.isTTY !== true) {
    throw new UserError(
      'The shell needs a terminal, and standard input is none.',
      'run with --batch, which needs no terminal',
    );
  }
  const filter = new EscapeFilter();
  const listener = (chunk: Uint8Array) => {
    const { guest, commands } = filter.accept(chunk);
    if (guest.length > 0) options.onKeys(guest);
    commands.forEach(options.onCommand);
  };
  const forgetSignals = exitOnSignals(target);
  const restore = restoredAtExit(() => {
    input.off('data', listener);
    input.setRawMode(false);
    input.pause();
    forgetSignals();
  }, target);
  input.setRawMode(true);
  input.on('data', listener);
  input.resume();
  return restore;
}
