// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Instruction } from '../../../decode/instruction.ts';
import { opcodeTable } from '../../../arch/instructions/table.ts';
import { copyOf } from './fusing.ts';

/** Another value of the same type, and another one for each field. */
function changeAll(object: object, from: number): number {
  let next = from;
  for (const [name, value] of Object.entries(object)) {
    if (name === 'opcode') Object.assign(object, { opcode: opcodeTable[1] });
    else if (typeof value === 'object') next = changeAll(value as object, next);
    else Object.assign(object, { [name]: typeof value === 'boolean' ? !value : next++ });
  }
  return next;
}

test('a copy of an instruction has every field, and objects of its own', () => {
  const source = new Instruction();
  changeAll(source, 100);
  const copy = copyOf(source);
  assert.deepEqual(copy, source);
  changeAll(source, 1000);
  assert.notDeepEqual(copy.operands, source.operands);
  assert.notDeepEqual(copy.memory, source.memory);
});
