// SPDX-License-Identifier: Apache-2.0

/** See: SDM 2.2.1.2 More on REX Prefix Fields. */
// prettier-ignore
export const RexBit = {
  B: 1, // extends ModRM.rm, SIB.base or the opcode's register
  X: 2, // extends SIB.index
  R: 4, // extends ModRM.reg
  W: 8, // 64-bit operand size
} as const;
