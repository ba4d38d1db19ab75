// SPDX-License-Identifier: Apache-2.0
import { Instruction } from '../../../decode/instruction.ts';
import { FS } from '../state.ts';

/** A record that the next instruction may join, if it is the branch of a fused pair. */
export interface JoinableRecord {
  readonly at: number;
  readonly key: string;
  /** Offset of the instruction after it. */
  readonly next: number;
}
export const NO_RECORD: JoinableRecord = { at: 0, key: '', next: -1 };
export const COMPARISON = /^(CMP|TEST):r\d+[ri]\d+$/;
export const JUMP = /^J(\d+):$/;

/** Base and displacement only: no index, no FS or GS. */
export function isSimple({ memory, opcode }: Instruction): boolean {
  return memory.index < 0 && (memory.segment < FS || opcode.mnemonic === 'LEA');
}

/** Microcode keeps a copy: the decoder's object is used again. */
export function copyOf(source: Instruction): Instruction {
  const copy = new Instruction();
  const { operands, memory, ...plain } = source;
  Object.assign(copy, plain);
  operands.forEach((operand, i) => Object.assign(copy.operands[i], operand));
  Object.assign(copy.memory, memory);
  return copy;
}
