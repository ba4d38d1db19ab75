// SPDX-License-Identifier: Apache-2.0
import type { Form } from '../interpreter/forms.ts';

/**
 * How a region says what is to happen next: the address of a record (64-byte aligned), and one of these in its low bits.
 * Whatever it says, registers, flags and the budget are in the state block.
 */
export const LEAVE = {
  /** Go on with this record in the middle of a block: the block is counted. */
  resume: 0,
  /** The branch of this record is done: follow its link. */
  taken: 1,
  notTaken: 2,
  /** STATE.rip says where to. */
  dispatch: 3,
  /** Begin the block of this record: nothing of it is counted. */
  block: 4,
  /** As `dispatch`, by a near return: a region that called this one may go on by itself. */
  returned: 5,
  /** As `dispatch`, by the indirect jump of this record, to a place the region does not know yet. */
  jumped: 6,
  /** Microcode said that the run is over. */
  exit: 7,
  mask: 63,
} as const;

/** One instruction, or the half of it that works out a 32-bit address. */
export interface RegionInstruction {
  readonly record: number;
  /** Absent for the address half, and for microcode in the middle of a block. */
  readonly form: Form | undefined;
  readonly helper: boolean;
}

/** How a block ends. */
export type Terminator =
  /** By its last instruction's own branch or jump. */
  | 'branch'
  | 'call'
  | 'return'
  | 'jump'
  /** Microcode, after which the next block follows as a rule. */
  | 'microcode'
  /** It runs into the next block: HANDLER.end. */
  | 'end'
  /** The interpreter does the rest, from `last` on. */
  | 'leave';

/** A place in the page that an indirect jump was seen to go to: its offset, and the index of the block. */
export interface JumpTarget {
  readonly offset: number;
  readonly block: number;
}

export interface RegionBlock {
  /** Its first record. */
  readonly head: number;
  /** Offset in the page. */
  readonly offset: number;
  /** Instructions from the head to the end of the block, as the interpreter counts them. */
  readonly count: number;
  readonly instructions: readonly RegionInstruction[];
  readonly terminator: Terminator;
  /** JMP through a register or memory: its places can be learned. */
  readonly isIndirect: boolean;
  /** The record of the terminator. */
  readonly last: number;
  /** Indices of blocks of the region, or -1 where control leaves it. A call's `next` is where it returns to. */
  taken: number;
  next: number;
  /** Of an indirect jump: where it is known to go. */
  readonly targets: JumpTarget[];
}

export interface Region {
  readonly blocks: readonly RegionBlock[];
  /** Instructions compiled. */
  readonly size: number;
}
