// SPDX-License-Identifier: Apache-2.0
import {
  add,
  divide,
  divideReversed,
  multiply,
  squareRoot,
  subtract,
  subtractReversed,
} from '../softfloat/arithmetic.ts';
import type { Binary } from '../softfloat/arithmetic.ts';
import { roundToIntegral } from '../softfloat/convert.ts';
import type { FloatEnvironment } from '../softfloat/environment.ts';
import { EXTENDED80 } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { M16INT, M32FP, M32INT, M64FP, NOTHING, instruction, memoryOf, plain } from './instruction.ts';
import type { MemoryOperand, X87Instruction } from './instruction.ts';
import { INDEFINITE_BITS } from './x87.ts';
import type { X87 } from './x87.ts';

/** The first operand is the destination. */
// prettier-ignore
const OPERATIONS: readonly { name: string; compute: Binary }[] = [
  { name: 'ADD',  compute: add },
  { name: 'MUL',  compute: multiply },
  { name: 'SUB',  compute: subtract },
  { name: 'SUBR', compute: subtractReversed },
  { name: 'DIV',  compute: divide },
  { name: 'DIVR', compute: divideReversed },
];

/** ST(destination) := compute(ST(destination), ST(other)). */
function registers(x87: X87, compute: Binary, destination: number, other: number, pops: number): void {
  if (x87.isEmpty(destination) || x87.isEmpty(other)) {
    if (!x87.stackFault(false)) return;
    x87.set(destination, INDEFINITE_BITS);
    x87.pop(pops);
    return;
  }
  const result = compute(x87.begin(true), EXTENDED80, x87.value(destination), x87.value(other));
  if (!x87.finish()) return;
  x87.set(destination, result);
  x87.pop(pops);
}

function memory(name: string, compute: Binary, operand: MemoryOperand): X87Instruction {
  return instruction(`${name} ${operand.notation}`, 'load', operand.bytes, (x87, given) => {
    unary(x87, (env, a) => compute(env, EXTENDED80, a, operand.read(memoryOf(given))), true);
    return NOTHING;
  });
}

/** ST(0) := compute(ST(0)). */
export function unary(
  x87: X87,
  compute: (env: FloatEnvironment, a: Unpacked) => bigint,
  precisionControlled = false,
): void {
  if (x87.isEmpty(0)) {
    if (x87.stackFault(false)) x87.set(0, INDEFINITE_BITS);
    return;
  }
  const result = compute(x87.begin(precisionControlled), x87.value(0));
  if (x87.finish()) x87.set(0, result);
}

/** FABS and FCHS change the sign of anything, NaNs and unsupported encodings too. */
function signChange(name: string, change: (bits: bigint) => bigint): X87Instruction {
  return plain(name, (x87) => {
    if (!x87.isEmpty(0)) {
      x87.setC1(false);
      x87.set(0, change(x87.bits(0)));
    } else if (x87.stackFault(false)) x87.set(0, INDEFINITE_BITS);
  });
}

const SIGN = 1n << 79n;

export const ARITHMETIC: readonly X87Instruction[] = [
  ...OPERATIONS.flatMap(({ name, compute }) => [
    memory(`F${name}`, compute, M32FP),
    memory(`F${name}`, compute, M64FP),
    memory(`FI${name}`, compute, M32INT),
    memory(`FI${name}`, compute, M16INT),
    plain(`F${name} ST0 STi`, (x87, i) => registers(x87, compute, 0, i, 0)),
    plain(`F${name} STi ST0`, (x87, i) => registers(x87, compute, i, 0, 0)),
    plain(`F${name}P STi ST0`, (x87, i) => registers(x87, compute, i, 0, 1)),
  ]),
  plain('FSQRT', (x87) => unary(x87, (env, a) => squareRoot(env, EXTENDED80, a), true)),
  plain('FRNDINT', (x87) => unary(x87, (env, a) => roundToIntegral(env, EXTENDED80, a, env.rounding, false, true))),
  signChange('FABS', (bits) => bits & ~SIGN),
  signChange('FCHS', (bits) => bits ^ SIGN),
];
