// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { ARITHMETIC } from './arithmetic.ts';
import { COMPARISONS } from './compare.ts';
import { CONTROL } from './control.ts';
import { LOAD_STORE } from './load-store.ts';
import { REMAINDER } from './remainder.ts';
import { TRANSCENDENTAL } from './transcendental.ts';
import type { X87Instruction } from './instruction.ts';

const ALL = [ARITHMETIC, COMPARISONS, CONTROL, LOAD_STORE, REMAINDER, TRANSCENDENTAL].flat();
const INSTRUCTIONS: ReadonlyMap<string, X87Instruction> = new Map(ALL.map((row) => [row.name, row]));

/** Looks up an instruction by mnemonic and operands as a row of the opcode table spells them, such as `FADD` and `ST0 STi`. */
export function x87Instruction(mnemonic: string, operandText: string): X87Instruction {
  const name = operandText === '' ? mnemonic : `${mnemonic} ${operandText}`;
  const row = INSTRUCTIONS.get(name);
  assert(row, `no x87 instruction ${name}`);
  return row;
}
