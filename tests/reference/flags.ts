// SPDX-License-Identifier: Apache-2.0

/** The arithmetic flags, each as it is defined. See: SDM Volume 1 3.4.3.1 Status Flags. */
export type Flags = { cf: boolean; pf: boolean; af: boolean; zf: boolean; sf: boolean; of: boolean };

export const NO_FLAGS: Flags = { cf: false, pf: false, af: false, zf: false, sf: false, of: false };

// prettier-ignore
const PLACES = [['cf', 0], ['pf', 2], ['af', 4], ['zf', 6], ['sf', 7], ['of', 11]] as const;

export function flagsFrom(eflags: bigint): Flags {
  const flags = { ...NO_FLAGS };
  for (const [name, bit] of PLACES) flags[name] = (eflags >> BigInt(bit)) % 2n === 1n;
  return flags;
}

export function eflagsOf(flags: Flags): bigint {
  return PLACES.reduce((sum, [name, bit]) => sum + (flags[name] ? 1n << BigInt(bit) : 0n), 0n);
}

/** ZF: zero. SF: the most significant bit. PF: an even number of ones in the least significant byte. */
export function ofResult(result: bigint, bits: number): Pick<Flags, 'zf' | 'sf' | 'pf'> {
  const ones = Array.from((result % 256n).toString(2)).filter((digit) => digit === '1').length;
  return { zf: result === 0n, sf: result >= 1n << BigInt(bits - 1), pf: ones % 2 === 0 };
}

/** Of a + b + carry, or a - b - carry, of `bits` bits each: what came in is what makes the result come out. */
export function ofSum(kind: 'add' | 'sub', a: bigint, b: bigint, result: bigint, bits: number): Flags {
  const sign = kind === 'add' ? 1n : -1n;
  const carry = BigInt.asUintN(bits, sign * (result - a) - b);
  const exact = a + sign * (b + carry);
  const asSigned = BigInt.asIntN(bits, a) + sign * (BigInt.asIntN(bits, b) + carry);
  const nibble = (a % 16n) + sign * ((b % 16n) + carry);
  return {
    ...ofResult(result, bits),
    cf: exact < 0n || exact >= 1n << BigInt(bits),
    of: asSigned !== BigInt.asIntN(bits, asSigned),
    af: nibble < 0n || nibble > 15n,
  };
}

/** See: SDM B.1.4.7 Condition Test (tttn) Field. */
export function holds(condition: number, { cf, pf, zf, sf, of }: Flags): boolean {
  const even = [of, cf, zf, cf || zf, sf, pf, sf !== of, zf || sf !== of][condition >> 1];
  return condition % 2 === 1 ? !even : even;
}
