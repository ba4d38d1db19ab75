// SPDX-License-Identifier: Apache-2.0

/**
 * What the user did wrong: one sentence that names the thing, and the way out.
 * The command line prints both and no stack trace.
 */
export class UserError extends Error {
  override name = 'UserError';
  /** The way out: an option, a path, a command. */
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}
