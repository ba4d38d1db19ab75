// SPDX-License-Identifier: Apache-2.0
import { Instruction } from '../../../decode/instruction.ts';
import type { FormPlace } from '../interpreter/module.ts';
import { FS } from '../state.ts';

/** A record that the next instruction may join, if it is the branch of a fused pair. */
export interface JoinableRecord {
  readonly at: number;
  /** What it becomes by the branch that joins it. */
  readonly branches: FusedBranches;
  /** Offset of the instruction after it. */
  readonly next: number;
}
export const NO_RECORD: JoinableRecord = { at: 0, branches: new Map(), next: -1 };
/** By the key of a branch, `J4:`: the handler of the pair. */
export type FusedBranches = ReadonlyMap<string, FormPlace>;

const FUSED = /^(CMP|TEST)\+(\d+):(.+)$/;

/** By the key of a comparison, `CMP:r64r64`: the pairs that it can begin. */
export function joinableRecords(places: ReadonlyMap<string, FormPlace>): ReadonlyMap<string, FusedBranches> {
  const joinable = new Map<string, Map<string, FormPlace>>();
  for (const [key, place] of places) {
    const match = FUSED.exec(key);
    if (match === null) continue;
    const comparison = `${match[1]}:${match[3]}`;
    const branches = joinable.get(comparison) ?? new Map<string, FormPlace>();
    joinable.set(comparison, branches.set(`J${match[2]}:`, place));
  }
  return joinable;
}

/** Base and displacement only: no index, no FS or GS. */
export function isSimple({ memory, opcode }: Instruction): boolean {
  return memory.index < 0 && (memory.segment < FS || opcode.mnemonic === 'LEA');
}

/** Microcode keeps a copy: the decoder's object is used again. */
export function copyOf(source: Instruction): Instruction {
  const copy = new Instruction();
  copy.copyFrom(source);
  return copy;
}
