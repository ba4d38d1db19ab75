// SPDX-License-Identifier: Apache-2.0
import { ALU } from '../operations/alu.ts';
import { ATOMICS } from '../operations/atomic.ts';
import { BITS } from '../operations/bits.ts';
import { CONTROL } from '../operations/control.ts';
import { MOVES } from '../operations/move.ts';
import { MULTIPLICATIONS } from '../operations/multiply.ts';
import { Operation } from '../operations/operation.ts';
import type { Description } from '../operations/operation.ts';
import { SHIFTS } from '../operations/shift.ts';

/** One instruction in one combination of operand kinds and sizes: what a handler is made for. */
export interface Form {
  /** `ADD:r64m64` */
  readonly key: string;
  readonly description: Description;
  readonly signature: string;
}

export const DESCRIPTIONS: readonly Description[] = [...ALU, ...MOVES, ...SHIFTS, ...MULTIPLICATIONS, ...BITS, ...ATOMICS, ...CONTROL];

export function formsOf(descriptions: readonly Description[]): Form[] {
  return descriptions.flatMap((description) =>
    description.signatures.map((signature) => ({ key: `${description.mnemonic}:${signature}`, description, signature })),
  );
}

/** Builds the statements of a form. */
export function describeForm(form: Form): Operation {
  const operation = new Operation(form.signature);
  form.description.describe(operation);
  return operation;
}
