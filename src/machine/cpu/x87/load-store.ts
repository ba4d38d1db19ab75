// SPDX-License-Identifier: Apache-2.0
import { convert, toInteger } from '../softfloat/convert.ts';
import { EXCEPTION, ROUNDING } from '../softfloat/environment.ts';
import type { FloatEnvironment } from '../softfloat/environment.ts';
import { BINARY32, BINARY64, EXTENDED80, INDEFINITE, packSpecial } from '../softfloat/format.ts';
import type { Format, Unpacked } from '../softfloat/format.ts';
import { roundPack } from '../softfloat/round.ts';
import {
  M16INT,
  M32FP,
  M32INT,
  M64FP,
  M64INT,
  NOTHING,
  instruction,
  littleEndian,
  memoryOf,
  plain,
  toBytes,
  unpackInteger,
} from './instruction.ts';
import type { MemoryOperand, X87Instruction, X87Outcome } from './instruction.ts';
import { INDEFINITE_BITS } from './x87.ts';
import type { X87 } from './x87.ts';

/** Pushes a value, or what a masked stack overflow leaves. */
function pushChecked(x87: X87, value: () => bigint): void {
  if (!x87.isEmpty(-1)) {
    if (x87.stackFault(true)) x87.push(INDEFINITE_BITS);
    return;
  }
  x87.push(value());
}

/** A denormal is loaded even if that is an unmasked exception; only invalid prevents the push. */
function loadConverted(x87: X87, value: Unpacked): void {
  if (!x87.isEmpty(-1)) {
    if (x87.stackFault(true)) x87.push(INDEFINITE_BITS);
    return;
  }
  const env = x87.begin();
  const result = convert(env, EXTENDED80, value);
  const invalid = env.flags & ~env.masks & EXCEPTION.invalid;
  x87.finish();
  if (invalid === 0) x87.push(result);
}

function loadNumber(name: string, operand: MemoryOperand): X87Instruction {
  return instruction(`${name} ${operand.notation}`, 'load', operand.bytes, (x87, given) => {
    loadConverted(x87, operand.read(memoryOf(given)));
    return NOTHING;
  });
}

/** Copies 80 bits: no exception but those of the stack, whatever they encode. */
function loadBits(x87: X87, bits: bigint): void {
  pushChecked(x87, () => {
    x87.setC1(false);
    return bits;
  });
}

/** Stores ST(0) by `compute`, or `indefinite` if it is empty; undefined from `compute` stands for that too. */
function storeMemory(
  name: string,
  bytes: number,
  indefinite: bigint,
  pops: number,
  compute: (env: FloatEnvironment, a: Unpacked, x87: X87) => bigint,
): X87Instruction {
  return instruction(name, 'store', bytes, (x87): X87Outcome => {
    let result = indefinite;
    if (x87.isEmpty(0)) {
      if (!x87.stackFault(false)) return NOTHING;
    } else {
      result = compute(x87.begin(), x87.value(0), x87);
      if (!x87.finish(true)) return NOTHING;
    }
    x87.pop(pops);
    return { store: toBytes(result, bytes) };
  });
}

function storeFloat(name: string, format: Format, pops: number): X87Instruction {
  const indefinite = packSpecial(format, INDEFINITE);
  const whole = `${name} m${format.bytes * 8}fp`;
  if (format === EXTENDED80) return storeMemory(whole, 10, indefinite, pops, (_env, _a, x87) => x87.bits(0));
  // A denormal extended80 is not an exception here: it is far below the smaller formats and underflows.
  return storeMemory(whole, format.bytes, indefinite, pops, (env, a) =>
    convert(env, format, { ...a, denormal: false }),
  );
}

function storeInteger(name: string, bytes: number, pops: number, truncates: boolean): X87Instruction {
  const bits = bytes * 8;
  return storeMemory(`${name} m${bits}int`, bytes, 1n << BigInt(bits - 1), pops, (env, a) =>
    toInteger(env, a, bits, truncates ? ROUNDING.zero : env.rounding),
  );
}

/** Packed BCD: 18 digits, then a sign byte. See: SDM 4.7 BCD and Packed BCD Integers. */
const BCD_INDEFINITE = 0xffff_c000_0000_0000_0000n;
const BCD_LIMIT = 10n ** 18n;

function fromBcd(memory: Uint8Array): Unpacked {
  let magnitude = 0n;
  for (let n = 8; n >= 0; n--) magnitude = magnitude * 100n + BigInt((memory[n] >> 4) * 10 + (memory[n] & 15));
  const value = unpackInteger(magnitude);
  return { ...value, sign: memory[9] >> 7 === 1 ? 1 : 0 };
}

function toBcd(env: FloatEnvironment, a: Unpacked): bigint {
  const value = toInteger(env, a, 64);
  const magnitude = value < 0n ? -value : value;
  if (magnitude >= BCD_LIMIT || (env.flags & EXCEPTION.invalid) !== 0) {
    env.flags = EXCEPTION.invalid;
    env.roundedUp = false;
    return BCD_INDEFINITE;
  }
  return BigInt(`0x${magnitude.toString()}`) | (a.sign === 1 ? 1n << 79n : 0n);
}

function storeRegister(name: string, pops: number): X87Instruction {
  return plain(`${name} STi`, (x87, i) => {
    if (x87.isEmpty(0)) {
      if (!x87.stackFault(false)) return;
      x87.set(i, INDEFINITE_BITS);
    } else {
      x87.setC1(false);
      x87.set(i, x87.bits(0));
    }
    x87.pop(pops);
  });
}

/** Like FSTP, but an empty ST(0) is only popped, without a stack fault. */
function storeWithoutCheck(x87: X87, i: number): void {
  x87.setC1(false);
  if (!x87.isEmpty(0)) x87.set(i, x87.bits(0));
  x87.pop();
}

function exchange(x87: X87, i: number): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) {
    if (!x87.stackFault(false)) return;
    for (const n of [0, i]) if (x87.isEmpty(n)) x87.set(n, INDEFINITE_BITS);
  } else x87.setC1(false);
  const bits = x87.bits(0);
  x87.set(0, x87.bits(i));
  x87.set(i, bits);
}

const CF = 0x01;
const PF = 0x04;
const ZF = 0x40;

// prettier-ignore
const MOVES = [
  { name: 'FCMOVB',  flags: CF },
  { name: 'FCMOVE',  flags: ZF },
  { name: 'FCMOVBE', flags: CF | ZF },
  { name: 'FCMOVU',  flags: PF },
] as const;

function conditionalMove(name: string, flags: number, wanted: boolean): X87Instruction {
  return instruction(`${name} ST0 STi`, 'none', 0, (x87, { index: i = 0, eflags = 0 }) => {
    if (x87.isEmpty(0) || x87.isEmpty(i)) {
      if (x87.stackFault(false)) x87.set(0, INDEFINITE_BITS);
      return NOTHING;
    }
    x87.setC1(false);
    if (((eflags & flags) !== 0) === wanted) x87.set(0, x87.bits(i));
    return NOTHING;
  });
}

/** The constants to more bits than a register holds: they are rounded as RC says, without raising inexact. */
// prettier-ignore
const CONSTANTS = [
  { name: 'FLD1',   significand: 1n,                                  exponent: 0 },
  { name: 'FLDL2T', significand: 0xd49a784bcd1b8afe492bf6ff4dafdb4cn, exponent: -126 },
  { name: 'FLDL2E', significand: 0xb8aa3b295c17f0bbbe87fed0691d3e88n, exponent: -127 },
  { name: 'FLDPI',  significand: 0xc90fdaa22168c234c4c6628b80dc1cd1n, exponent: -126 },
  { name: 'FLDLG2', significand: 0x9a209a84fbcff7988f8959ac0b7c9178n, exponent: -129 },
  { name: 'FLDLN2', significand: 0xb17217f7d1cf79abc9e3b39803f2f6afn, exponent: -128 },
  { name: 'FLDZ',   significand: 0n,                                  exponent: 0 },
] as const;

function constant(name: string, significand: bigint, exponent: number): X87Instruction {
  return plain(name, (x87) =>
    pushChecked(x87, () => {
      x87.setC1(false);
      return significand === 0n ? 0n : roundPack(x87.begin(), EXTENDED80, 0, exponent, significand);
    }),
  );
}

export const LOAD_STORE: readonly X87Instruction[] = [
  loadNumber('FLD', M32FP),
  loadNumber('FLD', M64FP),
  loadNumber('FILD', M16INT),
  loadNumber('FILD', M32INT),
  loadNumber('FILD', M64INT),
  loadNumber('FBLD', { notation: 'm80bcd', bytes: 10, read: fromBcd }),
  instruction('FLD m80fp', 'load', 10, (x87, given) => {
    loadBits(x87, littleEndian(memoryOf(given)));
    return NOTHING;
  }),
  plain('FLD STi', (x87, i) => {
    if (!x87.isEmpty(i)) loadBits(x87, x87.bits(i));
    else if (x87.stackFault(false)) x87.push(INDEFINITE_BITS);
  }),
  storeFloat('FST', BINARY32, 0),
  storeFloat('FST', BINARY64, 0),
  storeFloat('FSTP', BINARY32, 1),
  storeFloat('FSTP', BINARY64, 1),
  storeFloat('FSTP', EXTENDED80, 1),
  storeInteger('FIST', 2, 0, false),
  storeInteger('FIST', 4, 0, false),
  ...[2, 4, 8].flatMap((bytes) => [storeInteger('FISTP', bytes, 1, false), storeInteger('FISTTP', bytes, 1, true)]),
  storeMemory('FBSTP m80bcd', 10, BCD_INDEFINITE, 1, toBcd),
  storeRegister('FST', 0),
  storeRegister('FSTP', 1),
  plain('FSTPNCE STi ST0', storeWithoutCheck),
  plain('FXCH ST0 STi', exchange),
  ...MOVES.flatMap(({ name, flags }) => [
    conditionalMove(name, flags, true),
    conditionalMove(name.replace('FCMOV', 'FCMOVN'), flags, false),
  ]),
  ...CONSTANTS.map(({ name, significand, exponent }) => constant(name, significand, exponent)),
];
