// SPDX-License-Identifier: Apache-2.0
import { RAX, RBP, RBX, RDX, RSP, STATE } from '../state.ts';
import { twoOperandForms } from './alu.ts';
import { integerType } from './graph.ts';
import type { Description, Operation, Value } from './operation.ts';

const SIZES = [16, 32, 64];

function simple(
  mnemonic: string,
  signatures: readonly string[],
  describe: (o: Operation) => void,
  hot = true,
): Description {
  return { mnemonic, signatures, hot, endsBlock: false, describe };
}

/** Reads the source whole, converts it, writes the destination. */
function convert(how: (o: Operation, source: Value) => Value) {
  return (o: Operation): void => {
    o.prepareWrite(0);
    o.write(0, how(o, o.read(1)));
  };
}

/** With prefix 66 the opcodes for 16-bit sources have 16-bit destinations too: then nothing is widened. */
function widenings(wide: readonly number[], narrow: readonly number[]): string[] {
  return wide.flatMap((w) => narrow.filter((n) => n <= w).flatMap((n) => [`r${w}r${n}`, `r${w}m${n}`]));
}

function exchange(o: Operation): void {
  const a = o.readForUpdate(0);
  const b = o.readForUpdate(1);
  o.write(0, b);
  o.write(1, a);
}

/** CMOVcc reads its source whatever the condition, and zero-extends a 32-bit destination either way. */
function conditionalMove(o: Operation): void {
  const source = o.read(1);
  o.write(0, o.conditionOperand().select(source, o.read(0)));
}

/** 64-bit stack: the only one whose pushes and pops are operations; other stack sizes are microcode. */
export function push(o: Operation, value: Value): void {
  const rsp = o.register(RSP, 'i64').sub(value.bits / 8);
  o.store(o.probe(value.bits / 8, rsp, 'write', true), value);
  o.writeRegister(RSP, rsp);
}

function popRegister(o: Operation): void {
  const rsp = o.register(RSP, 'i64');
  const value = o.load(integerType(o.operands[0].bits), rsp, true);
  o.writeRegister(RSP, rsp.add(value.bits / 8));
  o.write(0, value);
}

function leave(o: Operation): void {
  const rbp = o.register(RBP, 'i64');
  const value = o.load('i64', rbp, true);
  o.writeRegister(RSP, rbp.add(8));
  o.writeRegister(RBP, value);
}

/** Bytes reversed by masks and shifts, 16 bits at a time upwards. */
function byteSwap(o: Operation, value: Value): Value {
  if (value.type === 'i16') return value.rotl(8);
  const wide = value.type === 'i64';
  const odd = o.constant(value.type, wide ? 0x00ff00ff00ff00ffn : 0x00ff00ff);
  const pairs = value.shr(8).and(odd).or(value.and(odd).shl(8));
  if (!wide) return pairs.rotl(16);
  const words = o.constant('i64', 0x0000ffff0000ffffn);
  return pairs.shr(16).and(words).or(pairs.and(words).shl(16)).rotl(32);
}

function signExtendAccumulator(from: 'i8' | 'i16' | 'i32', to: 'i16' | 'i32' | 'i64') {
  return (o: Operation): void => o.writeRegister(RAX, o.register(RAX, from).sext(to));
}
function signIntoRdx(type: 'i16' | 'i32' | 'i64') {
  return (o: Operation): void => {
    const a = o.register(RAX, type);
    o.writeRegister(RDX, a.sar(a.bits - 1));
  };
}

function loadEffectiveAddress(o: Operation): void {
  o.write(0, o.operandAddress().as(integerType(o.operands[0].bits)));
}

export const MOVES: readonly Description[] = [
  simple(
    'MOV',
    [...twoOperandForms([8, 16, 32, 64], ['rr', 'ri', 'rm', 'mr', 'mi'])],
    convert((_o, source) => source),
  ),
  simple(
    'MOVZX',
    widenings(SIZES, [8, 16]),
    convert((o, source) => source.as(integerType(o.operands[0].bits))),
  ),
  simple(
    'MOVSX',
    widenings(SIZES, [8, 16]),
    convert((o, source) => source.sext(integerType(o.operands[0].bits))),
  ),
  simple(
    'MOVSXD',
    ['r64r32', 'r64m32', 'r32r32', 'r32m32', 'r16r16', 'r16m16', 'r16r32', 'r16m32'],
    convert((o, source) =>
      o.operands[0].bits < source.bits ? source.as('i16') : source.sext(integerType(o.operands[0].bits)),
    ),
  ),
  simple('LEA', ['r16m16', 'r32m32', 'r64m64'], loadEffectiveAddress),
  simple('XCHG', [...twoOperandForms([8, 16, 32, 64], ['rr', 'mr'])], exchange),
  // Of 16 bits the manual leaves the result undefined; processors write zero.
  simple('BSWAP', ['r16', 'r32', 'r64'], (o) =>
    o.write(0, o.operands[0].bits === 16 ? o.constant('i16', 0) : byteSwap(o, o.read(0))),
  ),
  simple(
    'MOVBE',
    twoOperandForms(SIZES, ['rm', 'mr']),
    convert((o, source) => byteSwap(o, source)),
    false,
  ),
  simple(
    'MOVNTI',
    twoOperandForms([32, 64], ['mr']),
    convert((_o, source) => source),
    false,
  ),
  simple('CMOVcc', twoOperandForms(SIZES, ['rr', 'rm']), conditionalMove),
  simple('SETcc', ['r8', 'm8'], (o) => {
    o.prepareWrite(0);
    o.write(0, o.conditionOperand().as('i8'));
  }),
  simple('PUSH64', ['r64', 'm64', 'i64', 'r16', 'm16', 'i16'], (o) => push(o, o.read(0))),
  simple('POP64', ['r64', 'r16'], popRegister),
  simple('LEAVE64', [''], leave),
  simple('CBW', [''], signExtendAccumulator('i8', 'i16'), false),
  simple('CWDE', [''], signExtendAccumulator('i16', 'i32'), false),
  simple('CDQE', [''], signExtendAccumulator('i32', 'i64')),
  simple('CWD', [''], signIntoRdx('i16'), false),
  simple('CDQ', [''], signIntoRdx('i32')),
  simple('CQO', [''], signIntoRdx('i64')),
  simple('NOP', [''], () => {}),
  simple('LAHF', [''], (o) => o.writeRegister(RAX, o.eflags().and(0xd5).or(2).as('i8'), true), false),
  simple(
    'SAHF',
    [''],
    (o) => o.setEflags(o.register(RAX, 'i8', true).as('i32').and(0xd5).or(o.eflags().and(0x800))),
    false,
  ),
  simple('CLC', [''], (o) => o.setCarry(o.constant('i1', 0)), false),
  simple('STC', [''], (o) => o.setCarry(o.constant('i1', 1)), false),
  simple('CMC', [''], (o) => o.setCarry(o.carryFlag().not()), false),
  simple('CLD', [''], (o) => o.writeState(STATE.flagsOther, o.readState(STATE.flagsOther, 'i32').and(~0x400)), false),
  simple('STD', [''], (o) => o.writeState(STATE.flagsOther, o.readState(STATE.flagsOther, 'i32').or(0x400)), false),
  simple('SALC', [''], (o) => o.writeRegister(RAX, o.carryFlag().sext('i8')), false),
  simple(
    'XLAT64',
    [''],
    (o) => o.writeRegister(RAX, o.load('i8', o.register(RBX, 'i64').add(o.register(RAX, 'i8').as('i64')))),
    false,
  ),
];
