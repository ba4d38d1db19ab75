// SPDX-License-Identifier: Apache-2.0
import { AES } from '../operations/aes.ts';
import { ALU } from '../operations/alu.ts';
import { ATOMICS } from '../operations/atomic.ts';
import { BITS } from '../operations/bits.ts';
import { CARRYLESS } from '../operations/carryless.ts';
import { CONTROL } from '../operations/control.ts';
import { MOVES } from '../operations/move.ts';
import { MULTIPLICATIONS } from '../operations/multiply.ts';
import { Operation } from '../operations/operation.ts';
import type { Description } from '../operations/operation.ts';
import { SHIFTS } from '../operations/shift.ts';
import { VECTOR_INTEGERS } from '../operations/vector-integer.ts';
import { VECTOR_LANES } from '../operations/vector-lanes.ts';
import { VECTOR_MOVES } from '../operations/vector-move.ts';
import { VECTOR_SHIFTS } from '../operations/vector-shift.ts';
import { VECTOR_SHUFFLES } from '../operations/vector-shuffle.ts';

/** One instruction in one combination of operand kinds and sizes: what a handler is made for. */
export interface Form {
  /** `ADD:r64m64` */
  readonly key: string;
  readonly description: Description;
  readonly signature: string;
}

const VECTORS = [...VECTOR_MOVES, ...VECTOR_INTEGERS, ...VECTOR_SHIFTS, ...VECTOR_SHUFFLES, ...VECTOR_LANES, ...AES, ...CARRYLESS];

export const DESCRIPTIONS: readonly Description[] = [...ALU, ...MOVES, ...SHIFTS, ...MULTIPLICATIONS, ...BITS, ...ATOMICS, ...CONTROL, ...VECTORS];

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
