// SPDX-License-Identifier: Apache-2.0
// Table: a decoded record, 64 bytes, one per instruction (and per address that must be checked first).

/** Register operands are offsets into the state block, never addresses: records are shared between processors. */
// prettier-ignore
export const RECORD = {
  handler: 0,
  /** Register operands; in a branch the link cell of the taken side ... */
  operand0: 4,
  /** ... and of the side not taken: 0 not linked yet, 1 never to be linked, else the record to go to. */
  operand1: 8,
  /** Memory operand: base + (index << scale) + displacement + segmentBase, all wrapping at 64 bits. */
  base: 12, index: 16, scale: 20,
  /** 64 bits; in a branch the target's offset from ripBase. */
  displacement: 24,
  segmentBase: 32,
  operand2: 36,
  /** Number of the microcode entry; described operations that may escape have no third register operand. */
  entry: 36,
  /** 64 bits, sign- or zero-extended as the operation wants it. */
  immediate: 40,
  /** Offset of the instruction, and of the one after it, from the start of its page. */
  ripOffset: 48, nextOffset: 52,
  /** Instructions from this one to the end of the block, both included: what a fault here leaves undone. */
  unretired: 56,
  /** Number of the cold function. */
  extra: 60,
  size: 64,
} as const;

/** A link cell that is never to be patched: the target lies in another page, or the block is a single step. */
export const NEVER_LINKED = 1;

/** Handlers that are not forms of a described operation. */
export const HANDLER = {
  end: 0,
  /** Ends the block: may change RIP, the mode, anything. */
  microcode: 1,
  cold: 2,
  address: 3,
  address32: 4,
  /** Microcode that goes on with the next instruction: floating point, stack operations of 16-bit code. */
  helper: 5,
  /** A block that is compiled: `extra` is the region's slot, `base` the block's own first record. */
  region: 6,
  firstForm: 7,
} as const;

/** What a cold function, or microcode, says to the engine. */
export const STATUS = { next: 0, fault: 1, afterAccess: 2, dispatch: 3, exit: 4, escape: 5 } as const;

/** Bits of the third argument of the `access` import, beside the size in bytes (bits 4:0). */
export const ACCESS = { write: 0x20, modify: 0x40, stack: 0x80, sizeMask: 0x1f } as const;
