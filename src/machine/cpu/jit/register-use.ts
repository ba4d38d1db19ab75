// SPDX-License-Identifier: Apache-2.0
import { FUSED_SLOTS, SLOT_FIELDS } from '../interpreter/lower.ts';
import { RECORD } from '../interpreter/record.ts';
import type { Place, Statement } from '../operations/graph.ts';
import type { FormIndex } from './form-index.ts';
import { Registers } from './registers.ts';
import type { Region } from './region.ts';

export interface RegisterUse {
  readonly touched: Set<number>;
  readonly written: Set<number>;
}

/** Which general registers the instructions of a region read or write, by number. */
export function registersOf(region: Region, forms: FormIndex, words: Int32Array): RegisterUse {
  const use: RegisterUse = { touched: new Set(), written: new Set() };
  for (const block of region.blocks) {
    for (const { record, form, helper } of block.instructions) {
      if (helper) continue;
      const offsetOf = (place: Place): number =>
        'offset' in place ? place.offset : words[(record + (form?.fused ? FUSED_SLOTS : SLOT_FIELDS)[place.slot]) >> 2];
      if (form === undefined) noteAddress(use, words, record);
      else noteStatements(use, forms.operation(form).statements, offsetOf, () => noteAddress(use, words, record));
    }
  }
  return use;
}

function noteStatements(
  use: RegisterUse,
  statements: readonly Statement[],
  offsetOf: (place: Place) => number,
  address: () => void,
): void {
  for (const statement of statements) {
    if (statement.kind === 'if') noteStatements(use, statement.then, offsetOf, address);
    if (statement.kind === 'write') {
      note(use.touched, offsetOf(statement.place));
      note(use.written, offsetOf(statement.place));
    }
    if (statement.kind !== 'let') continue;
    if (statement.node.op === 'read') note(use.touched, offsetOf(statement.node.place));
    if (statement.node.op === 'operandAddress') address();
  }
}

function noteAddress({ touched }: RegisterUse, words: Int32Array, record: number): void {
  note(touched, words[(record + RECORD.base) >> 2]);
  note(touched, words[(record + RECORD.index) >> 2]);
}

function note(set: Set<number>, offset: number): void {
  if (Registers.holds(offset)) set.add(offset >> 3);
}
