// SPDX-License-Identifier: Apache-2.0
// Table: the flags that each instruction leaves undefined. See: SDM Volume 1 Appendix A EFLAGS Cross-Reference, and in Volume 2 each "Flags Affected".

import { AF, CF, OF, PF, SF, ZF } from './form.ts';

const ALL = CF | PF | AF | ZF | SF | OF;
const BIT_TEST = OF | SF | AF | PF;

/** Mnemonics not listed leave no flag undefined. For shifts and rotates this is the most; `undefinedByCount` says when. */
// prettier-ignore
const UNDEFINED: Readonly<Record<string, number>> = {
  and: AF, or: AF, xor: AF, test: AF,
  mul: SF | ZF | AF | PF, imul: SF | ZF | AF | PF, div: ALL, idiv: ALL,
  bt: BIT_TEST, bts: BIT_TEST, btr: BIT_TEST, btc: BIT_TEST,
  bsf: CF | OF | SF | AF | PF, bsr: CF | OF | SF | AF | PF,
  tzcnt: OF | SF | PF | AF, lzcnt: OF | SF | PF | AF,
  andn: AF | PF, blsr: AF | PF, blsmsk: AF | PF, blsi: AF | PF, bzhi: AF | PF, bextr: AF | SF | PF,
};

const SHIFTS = new Set(['shl', 'sal', 'shr', 'sar']);
const ROTATES = new Set(['rol', 'ror', 'rcl', 'rcr']);
const DOUBLE_SHIFTS = new Set(['shld', 'shrd']);

export const isCounted = (mnemonic: string): boolean =>
  SHIFTS.has(mnemonic) || ROTATES.has(mnemonic) || DOUBLE_SHIFTS.has(mnemonic);

/** With a masked count of zero nothing is affected; OF is defined for a count of one only. */
export function undefinedByCount(mnemonic: string, count: number, bits: number): number {
  if (count === 0) return 0;
  const overflow = count === 1 ? 0 : OF;
  if (ROTATES.has(mnemonic)) return overflow;
  if (DOUBLE_SHIFTS.has(mnemonic)) return count > bits ? ALL : AF | overflow;
  return AF | overflow | (mnemonic !== 'sar' && count >= bits ? CF : 0);
}

export function undefinedFlags(mnemonic: string): number {
  return UNDEFINED[mnemonic] ?? 0;
}
