// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import type { MicrocodeTable } from '../translation/translator.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

const UNDEFINED_OPCODE = 6;

/** Numbers the routines, and counts what has none: that is #UD, and named in the run's summary. */
export class Routines implements MicrocodeTable {
  readonly list: Microcode[] = [];
  /** Encoding of an opcode we do not have -> times it was translated. */
  readonly missing = new Map<string, number>();
  private readonly numbers = new Map<string, number>();

  constructor(sets: readonly MicrocodeRoutines[]) {
    for (const set of sets)
      for (const [name, routine] of Object.entries(set)) this.numbers.set(name, this.list.push(routine) - 1);
  }

  routineOf(instruction: Instruction): number {
    const { mnemonic, operandText, encoding } = instruction.opcode;
    const number = this.numbers.get(`${mnemonic} ${operandText}`) ?? this.numbers.get(mnemonic);
    if (number !== undefined) return number;
    const name = `${mnemonic} ${operandText} (${encoding})`.trim();
    this.missing.set(name, (this.missing.get(name) ?? 0) + 1);
    return this.faultRoutine(UNDEFINED_OPCODE, -1);
  }

  faultRoutine(vector: number, errorCode: number): number {
    const name = `#${vector}:${errorCode}`;
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.list.push((cpu) => cpu.fault(vector, errorCode)) - 1;
      this.numbers.set(name, number);
    }
    return number;
  }
}
