// SPDX-License-Identifier: Apache-2.0
import type { Operation, Value } from './operation.ts';

/**
 * A comparison of registers and the conditional branch after it, in one record: the pair is so common that its second
 * dispatch shows. Flags come out as the comparison leaves them; the branch asks the operands instead of the flags.
 */
export interface FusedDescription {
  /** The first instruction. */
  readonly mnemonic: 'CMP' | 'TEST';
  readonly signature: string;
  /** Condition code of the branch. */
  readonly condition: number;
}

const ORDER = [2, 3, 4, 5, 6, 7, 12, 13, 14, 15];
const SIGN = [4, 5, 8, 9, 14, 15];

// prettier-ignore
const PAIRS: readonly (readonly [mnemonic: 'CMP' | 'TEST', signatures: readonly string[], conditions: readonly number[]])[] = [
  ['CMP',  ['r64r64', 'r64i64', 'r32r32', 'r32i32'], ORDER],
  ['CMP',  ['r8r8', 'r8i8'],                         [4, 5, 6, 7]],
  ['TEST', ['r64r64', 'r32r32'],                     SIGN],
  ['TEST', ['r8r8', 'r8i8'],                         [4, 5, 8, 9]],
];

export const FUSED: readonly FusedDescription[] = PAIRS.flatMap(([mnemonic, signatures, conditions]) =>
  signatures.flatMap((signature) => conditions.map((condition) => ({ mnemonic, signature, condition }))),
);

/** See: SDM B.1.4.7 Condition Test (tttn) Field. The odd code is the negation of the even one. */
function compared(a: Value, b: Value, condition: number): Value {
  if (condition >> 1 === 1) return condition & 1 ? b.leu(a) : a.ltu(b);
  if (condition >> 1 === 2) return condition & 1 ? a.ne(b) : a.eq(b);
  if (condition >> 1 === 3) return condition & 1 ? b.ltu(a) : a.leu(b);
  if (condition >> 1 === 6) return condition & 1 ? b.les(a) : a.lts(b);
  return condition & 1 ? b.lts(a) : a.les(b);
}

function tested(result: Value, condition: number): Value {
  if (condition >> 1 === 2) return condition & 1 ? result.isZero().not() : result.isZero();
  if (condition >> 1 === 4) return condition & 1 ? result.msb().not() : result.msb();
  return condition & 1 ? result.les(0).not() : result.les(0);
}

export function describeFused({ mnemonic, condition }: FusedDescription, o: Operation): void {
  const a = o.read(0);
  const b = o.read(1);
  const result = mnemonic === 'CMP' ? a.sub(b) : a.and(b);
  const taken = mnemonic === 'CMP' ? compared(a, b, condition) : tested(result, condition);
  if (mnemonic === 'CMP') o.flags('sub', a, b, result);
  else o.flagsOfLogic(result);
  o.branch(taken);
}
