// SPDX-License-Identifier: Apache-2.0

const CONTROL_A = 0x01;

/** What a key after Ctrl-A asks for, as in QEMU's -nographic. */
export type EscapeCommand = 'leave' | 'help';

// prettier-ignore
const COMMANDS: Readonly<Record<string, EscapeCommand>> = {
  x: 'leave',
  h: 'help',
};

export const ESCAPE_HELP = 'Ctrl-A x  leave\r\nCtrl-A h  this help\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n';

/**
 * Finds the commands in what is typed. Bytes that are not part of one belong to the guest; a key after Ctrl-A that
 * means nothing is dropped. Keeps its state between chunks, as keys may arrive in any grouping.
 */
export class EscapeFilter {
  #escaped = false;

  /** The guest's bytes of this chunk, and the commands in it, in order. Nothing after `leave` is looked at. */
  accept(typed: Uint8Array): { readonly guest: Uint8Array; readonly commands: readonly EscapeCommand[] } {
    const guest: number[] = [];
    const commands: EscapeCommand[] = [];
    for (const byte of typed) {
      if (commands.at(-1) === 'leave') break;
      if (!this.#escaped && byte === CONTROL_A) {
        this.#escaped = true;
        continue;
      }
      const command = COMMANDS[String.fromCharCode(byte)];
      if (!this.#escaped || byte === CONTROL_A) guest.push(byte);
      else if (command !== undefined) commands.push(command);
      this.#escaped = false;
    }
    return { guest: Uint8Array.from(guest), commands };
  }
}
