// SPDX-License-Identifier: Apache-2.0
// MOVS, STOS, LODS, CMPS and SCAS with device memory at one of their ends: one iteration for each exit.

import { OperandKind } from '../../decode/instruction.ts';
import { BINARY, FLAG } from './arithmetic.ts';
import { BEYOND } from './emulation.ts';
import type { Emulation } from './emulation.ts';
import type { Operation, Outcome } from './operations.ts';
import { ES, misaligned, segmentLinear } from './segments.ts';
import { advanceIndex, countLeft, pointer } from './string-registers.ts';

const RCX = 1;
const RSI = 6;
const RDI = 7;
const REPNE = 0xf2;

/** One iteration without the registers that move on; false when it faulted. */
type Iteration = (emulation: Emulation) => boolean;

/** The processor exits at the one operand that is a device; the other it has not looked at, if it comes later. */
const copy: Iteration = (emulation) => {
  if (!mayReach(emulation, 0, true) || !emulation.probe(0)) return false;
  const value = emulation.read(1);
  return typeof value === 'bigint' && emulation.write(0, value);
};

/** Whether segmentation and alignment permit an operand of a string instruction; false after raising what forbids it. */
function mayReach({ vcpu, instruction }: Emulation, n: number, write: boolean): boolean {
  const { operands, memory, addressSize } = instruction;
  const { kind, size } = operands[n];
  const source = kind === OperandKind.STRING_SOURCE;
  if (!source && kind !== OperandKind.STRING_DESTINATION) return true;
  const offset = pointer(vcpu, source ? RSI : RDI, addressSize);
  const linear = segmentLinear(vcpu, source ? memory.segment : ES, offset, size / 8, write);
  return linear !== undefined && !misaligned(vcpu, linear, size / 8);
}

const compare: Iteration = (emulation) => {
  if (!mayReach(emulation, 0, false) || !mayReach(emulation, 1, false)) return false;
  const left = emulation.read(0);
  const right = left === undefined ? undefined : emulation.read(1);
  if (left === undefined || right === undefined || left === BEYOND || right === BEYOND) return false;
  emulation.flags = BINARY.SUB(left, right, emulation.bits(0), 0).flags;
  return true;
};

function string(iteration: Iteration, compares: boolean): Operation {
  return (emulation): Outcome => {
    const { vcpu, instruction } = emulation;
    const { addressSize, rep, operands } = instruction;
    if (rep !== 0 && countLeft(vcpu, addressSize) === 0n) return 'done';
    if (!iteration(emulation)) return 'faulted';
    for (const { kind, size } of operands) {
      if (kind === OperandKind.STRING_SOURCE) advanceIndex(vcpu, RSI, addressSize, size / 8);
      if (kind === OperandKind.STRING_DESTINATION) advanceIndex(vcpu, RDI, addressSize, size / 8);
    }
    if (rep === 0) return 'done';
    advanceIndex(vcpu, RCX, addressSize, -1, false);
    const wanted = (emulation.flags & FLAG.ZF) !== 0 ? rep !== REPNE : rep === REPNE;
    return countLeft(vcpu, addressSize) === 0n || (compares && !wanted) ? 'done' : 'iteration';
  };
}

export const STRING_OPERATIONS: readonly (readonly [mnemonic: string, operation: Operation])[] = [
  ['MOVS', string(copy, false)],
  ['STOS', string(copy, false)],
  ['LODS', string(copy, false)],
  ['CMPS', string(compare, true)],
  ['SCAS', string(compare, true)],
];
