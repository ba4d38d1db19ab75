// SPDX-License-Identifier: Apache-2.0
// What the instructions do that guests use on device memory. Each reads, computes, and only then writes: whatever
// faults does so before anything has changed, and a device register is read once.

import type { Operand } from '../../decode/instruction.ts';
import { OperandKind } from '../../decode/instruction.ts';
import { BINARY, BIT_TEST, FLAG, UNARY } from './arithmetic.ts';
import type { BinaryOperation, UnaryOperation } from './arithmetic.ts';
import { BEYOND } from './emulation.ts';
import type { Emulation } from './emulation.ts';
import { bytesOf, valueOf } from './linear-memory.ts';
import { STRING_OPERATIONS } from './string-operations.ts';

/** `beyond`: an operand or a form that L0 cannot reach. `iteration`: done, and the instruction is to be repeated. */
export type Outcome = 'done' | 'iteration' | 'faulted' | 'beyond';
export type Operation = (emulation: Emulation) => Outcome;

const done = (written: boolean): Outcome => (written ? 'done' : 'faulted');

/** To the first operand what `convert` makes of the second. `bits`: the first's, and the second's. */
function move(convert: (value: bigint, bits: number, sourceBits: number) => bigint): Operation {
  return (emulation) => {
    if (emulation.instruction.operands[0].kind === OperandKind.SEGMENT) return 'beyond';
    const bits = emulation.bits(0);
    const value = emulation.read(1, bits);
    if (value === BEYOND) return 'beyond';
    return value === undefined ? 'faulted' : done(emulation.write(0, convert(value, bits, emulation.bits(1))));
  };
}

const signExtend = (value: bigint, bits: number, sourceBits: number): bigint =>
  BigInt.asUintN(bits, BigInt.asIntN(sourceBits, value));
const swapBytes = (value: bigint, bits: number): bigint => valueOf(bytesOf(value, bits / 8).reverse());

function binary(compute: BinaryOperation, keep: boolean): Operation {
  return (emulation) => {
    if (keep && !emulation.probe(0)) return 'faulted';
    const bits = emulation.bits(0);
    const left = emulation.read(0);
    const right = emulation.read(1, bits);
    if (left === BEYOND || right === BEYOND) return 'beyond';
    if (left === undefined || right === undefined) return 'faulted';
    const { result, flags } = compute(left, right, bits, emulation.flags);
    if (keep && !emulation.write(0, result)) return 'faulted';
    emulation.flags = flags;
    return 'done';
  };
}

function unary(compute: UnaryOperation): Operation {
  return (emulation) => {
    if (!emulation.probe(0)) return 'faulted';
    const value = emulation.read(0);
    if (value === BEYOND) return 'beyond';
    if (value === undefined) return 'faulted';
    const { result, flags } = compute(value, emulation.bits(0), emulation.flags);
    if (!emulation.write(0, result)) return 'faulted';
    emulation.flags = flags;
    return 'done';
  };
}

/** Both operands, one of them in memory, before either is written. */
function both(emulation: Emulation): { left: bigint; right: bigint } | Outcome {
  if (!emulation.probe(0) || !emulation.probe(1)) return 'faulted';
  const left = emulation.read(0);
  const right = emulation.read(1);
  if (left === BEYOND || right === BEYOND) return 'beyond';
  return left === undefined || right === undefined ? 'faulted' : { left, right };
}

function exchange(emulation: Emulation): Outcome {
  const values = both(emulation);
  if (typeof values === 'string') return values;
  return done(emulation.write(0, values.right) && emulation.write(1, values.left));
}

function exchangeAndAdd(emulation: Emulation): Outcome {
  const values = both(emulation);
  if (typeof values === 'string') return values;
  const { result, flags } = BINARY.ADD(values.left, values.right, emulation.bits(0), 0);
  if (!emulation.write(0, result)) return 'faulted';
  emulation.write(1, values.left);
  emulation.flags = flags;
  return 'done';
}

/** The destination is written either way. See: SDM Vol. 2A, CMPXCHG. */
function compareAndExchange(emulation: Emulation): Outcome {
  const values = both(emulation);
  if (typeof values === 'string') return values;
  const accumulator: Operand = { kind: OperandKind.GENERAL, size: emulation.bits(0), register: 0, high8: false };
  const { flags } = BINARY.SUB(emulation.register(accumulator), values.left, emulation.bits(0), 0);
  const equal = (flags & FLAG.ZF) !== 0;
  if (!emulation.write(0, equal ? values.right : values.left)) return 'faulted';
  if (!equal) emulation.setRegister(accumulator, values.left);
  emulation.flags = flags;
  return 'done';
}

/** A bit offset in a register reaches beyond the operand, in both directions. See: SDM Vol. 2A, BT. */
function bitTest(replace: (value: bigint, mask: bigint) => bigint, keep: boolean): Operation {
  return (emulation) => {
    const { operands } = emulation.instruction;
    const bits = emulation.bits(0);
    const offset = emulation.read(1, bits);
    if (typeof offset !== 'bigint') return 'beyond';
    const far = operands[1].kind === OperandKind.GENERAL ? BigInt.asIntN(bits, offset) >> BigInt(Math.log2(bits)) : 0n;
    const linear = emulation.address(operands[0], far * BigInt(bits / 8));
    if (linear === undefined) return 'beyond';
    if (keep && !emulation.memory.probe(linear, bits / 8)) return 'faulted';
    const value = emulation.load(linear, bits / 8);
    if (value === undefined) return 'faulted';
    const mask = 1n << (offset & BigInt(bits - 1));
    if (keep && !emulation.memory.write(linear, bytesOf(replace(value, mask), bits / 8))) return 'faulted';
    emulation.flags = (emulation.flags & ~FLAG.CF) | (value & mask ? FLAG.CF : 0);
    return 'done';
  };
}

/** By the mnemonics of the opcode table. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['MOV', move((value) => value)],
  ['MOVNTI', move((value) => value)],
  ['MOVZX', move((value) => value)],
  ['MOVSX', move(signExtend)],
  ['MOVSXD', move(signExtend)],
  ['MOVBE', move(swapBytes)],
  ...Object.entries(BINARY).map(([mnemonic, compute]): [string, Operation] => [mnemonic, binary(compute, true)]),
  ['CMP', binary(BINARY.SUB, false)],
  ['TEST', binary(BINARY.AND, false)],
  ...Object.entries(UNARY).map(([mnemonic, compute]): [string, Operation] => [mnemonic, unary(compute)]),
  ['XCHG', exchange],
  ['XADD', exchangeAndAdd],
  ['CMPXCHG', compareAndExchange],
  ...Object.entries(BIT_TEST).map(([mnemonic, replace]): [string, Operation] => [
    mnemonic,
    bitTest(replace, mnemonic !== 'BT'),
  ]),
  ...STRING_OPERATIONS,
]);
