// SPDX-License-Identifier: Apache-2.0

/** Our own bug: the run stops at once. Never thrown for what a guest or a user did. */
export class InternalError extends Error {
  override name = 'InternalError';
}

/** States what the code relies on; a failure is a bug of ours, not of a guest. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** For the arm of a switch that the types say cannot be reached. */
export function unreachable(value: never, what: string): never {
  throw new InternalError(`unreachable ${what}: ${String(value)}`);
}
