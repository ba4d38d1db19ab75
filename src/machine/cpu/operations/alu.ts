// SPDX-License-Identifier: Apache-2.0
import type { Description, Operation, Value } from './operation.ts';

/** The operand forms of two-operand arithmetic: rr ri rm mr mi in every size. */
export function twoOperandForms(sizes: readonly number[], shapes: readonly string[]): string[] {
  return sizes.flatMap((bits) => shapes.map((shape) => Array.from(shape, (kind) => `${kind}${bits}`).join('')));
}

const ALL = [8, 16, 32, 64];
const FIVE = ['rr', 'ri', 'rm', 'mr', 'mi'];

type Compute = (o: Operation, a: Value, b: Value) => Value;

function alu(
  mnemonic: string,
  compute: Compute,
  flags: (o: Operation, a: Value, b: Value, result: Value) => void,
  keep = true,
): Description {
  return {
    mnemonic,
    signatures: twoOperandForms(ALL, FIVE),
    hot: true,
    endsBlock: false,
    describe(o) {
      const memoryFirst = keep && o.operands[0].kind === 'm';
      const b0 = memoryFirst ? undefined : o.operands[1].kind === 'm' ? o.read(1) : undefined;
      const a = keep ? o.readForUpdate(0) : o.read(0);
      const b = b0 ?? o.read(1);
      const result = compute(o, a, b);
      if (keep) o.write(0, result);
      flags(o, a, b, result);
    },
  };
}

const logicFlags = (o: Operation, _a: Value, _b: Value, result: Value): void => o.flagsOfLogic(result);
const addFlags = (o: Operation, a: Value, b: Value, result: Value): void => o.flags('add', a, b, result);
const subFlags = (o: Operation, a: Value, b: Value, result: Value): void => o.flags('sub', a, b, result);
const carryIn = (o: Operation, a: Value): Value => o.carryFlag().as(a.type);

function oneOperand(mnemonic: string, describe: (o: Operation, a: Value) => void): Description {
  const signatures = ALL.flatMap((bits) => [`r${bits}`, `m${bits}`]);
  return {
    mnemonic,
    signatures,
    hot: mnemonic !== 'NEG',
    endsBlock: false,
    describe: (o) => describe(o, o.readForUpdate(0)),
  };
}

function step(kind: 'increment' | 'decrement') {
  return (o: Operation, a: Value): void => {
    const result = kind === 'increment' ? a.add(1) : a.sub(1);
    o.write(0, result);
    o.flagsOfStep(kind, a, result);
  };
}

export const ALU: readonly Description[] = [
  alu('ADD', (_o, a, b) => a.add(b), addFlags),
  alu('OR', (_o, a, b) => a.or(b), logicFlags),
  alu('ADC', (o, a, b) => a.add(b).add(carryIn(o, a)), addFlags),
  alu('SBB', (o, a, b) => a.sub(b).sub(carryIn(o, a)), subFlags),
  alu('AND', (_o, a, b) => a.and(b), logicFlags),
  alu('SUB', (_o, a, b) => a.sub(b), subFlags),
  alu('XOR', (_o, a, b) => a.xor(b), logicFlags),
  alu('CMP', (_o, a, b) => a.sub(b), subFlags, false),
  alu('TEST', (_o, a, b) => a.and(b), logicFlags, false),
  oneOperand('INC', step('increment')),
  oneOperand('DEC', step('decrement')),
  oneOperand('NOT', (o, a) => o.write(0, a.not())),
  oneOperand('NEG', (o, a) => {
    const result = a.neg();
    o.write(0, result);
    o.flags('sub', o.constant(a.type, 0), a, result);
  }),
];
