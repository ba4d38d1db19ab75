// SPDX-License-Identifier: Apache-2.0
import { ORDER, compare } from '../softfloat/compare.ts';
import { EXCEPTION } from '../softfloat/environment.ts';
import { EXTENDED80, KIND, unpack, zero } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { M16INT, M32FP, M32INT, M64FP, NOTHING, instruction, memoryOf, plain } from './instruction.ts';
import type { MemoryOperand, X87Instruction, X87Outcome } from './instruction.ts';
import { FSW } from './registers.ts';
import type { X87 } from './x87.ts';

const UNORDERED = FSW.c0 | FSW.c2 | FSW.c3;

/** See: SDM Table 8-4 Setting of x87 FPU Condition Code Flags for Floating-Point Number Comparisons. */
const CONDITIONS: Readonly<Record<number, number>> = {
  [ORDER.greater]: 0,
  [ORDER.less]: FSW.c0,
  [ORDER.equal]: FSW.c3,
  [ORDER.unordered]: UNORDERED,
};

/** C3, C2 and C0 sit in the status word's high byte where ZF, PF and CF sit in the low byte of RFLAGS. */
const toEflags = (conditions: number): number => conditions >> 8;

/** The condition of ST(0) against an operand; `done` is false if an unmasked exception keeps the stack from moving. */
function order(
  x87: X87,
  isEmpty: boolean,
  operand: () => Unpacked,
  signaling: boolean,
): { conditions: number; done: boolean } {
  if (isEmpty) return { conditions: UNORDERED, done: x87.stackFault(false) };
  const result = compare(x87.begin(), x87.value(0), operand(), signaling);
  return { conditions: CONDITIONS[result], done: x87.finish() };
}

function compareToFlags(x87: X87, isEmpty: boolean, operand: () => Unpacked, signaling: boolean, pops: number): void {
  const { conditions, done } = order(x87, isEmpty, operand, signaling);
  x87.setConditions(conditions);
  if (done) x87.pop(pops);
}

function registers(name: string, signaling: boolean, pops: number, fixed?: number): X87Instruction {
  return plain(name, (x87, index) => {
    const i = fixed ?? index;
    compareToFlags(x87, x87.isEmpty(0) || x87.isEmpty(i), () => x87.value(i), signaling, pops);
  });
}

function memory(name: string, operand: MemoryOperand, pops: number): X87Instruction {
  return instruction(`${name} ${operand.notation}`, 'load', operand.bytes, (x87, given) => {
    compareToFlags(x87, x87.isEmpty(0), () => operand.read(memoryOf(given)), true, pops);
    return NOTHING;
  });
}

function integerFlags(name: string, signaling: boolean, pops: number): X87Instruction {
  return instruction(`${name} ST0 STi`, 'none', 0, (x87, { index: i = 0 }): X87Outcome => {
    const isEmpty = x87.isEmpty(0) || x87.isEmpty(i);
    const { conditions, done } = order(x87, isEmpty, () => x87.value(i), signaling);
    if (done) x87.pop(pops);
    const isInvalid = !done && (isEmpty || (x87.env.flags & ~x87.env.masks & EXCEPTION.invalid) !== 0);
    return isInvalid ? NOTHING : { eflags: toEflags(conditions) };
  });
}

/** C3, C2 and C0. See: SDM Table 3-39 FXAM Results. */
// prettier-ignore
const CLASS = {
  unsupported: 0,
  nan:         FSW.c0,
  normal:      FSW.c2,
  infinity:    FSW.c2 | FSW.c0,
  zero:        FSW.c3,
  empty:       FSW.c3 | FSW.c0,
  denormal:    FSW.c3 | FSW.c2,
} as const;

function classify(a: Unpacked): number {
  if (a.kind === KIND.unsupported) return CLASS.unsupported;
  if (a.kind >= KIND.quietNan) return CLASS.nan;
  if (a.kind === KIND.infinity) return CLASS.infinity;
  if (a.kind === KIND.zero) return CLASS.zero;
  return a.denormal ? CLASS.denormal : CLASS.normal;
}

function examine(x87: X87): void {
  const bits = x87.bits(0);
  const sign = bits >> 79n === 0n ? 0 : FSW.c1;
  x87.setConditions(sign | (x87.isEmpty(0) ? CLASS.empty : classify(unpack(bits, EXTENDED80))));
}

export const COMPARISONS: readonly X87Instruction[] = [
  ...[0, 1].flatMap((pops) => {
    const p = pops === 0 ? '' : 'P';
    return [
      memory(`FCOM${p}`, M32FP, pops),
      memory(`FCOM${p}`, M64FP, pops),
      memory(`FICOM${p}`, M32INT, pops),
      memory(`FICOM${p}`, M16INT, pops),
      registers(`FCOM${p} ST0 STi`, true, pops),
      registers(`FUCOM${p} ST0 STi`, false, pops),
      integerFlags(`FCOMI${p}`, true, pops),
      integerFlags(`FUCOMI${p}`, false, pops),
    ];
  }),
  registers('FCOMPP', true, 2, 1),
  registers('FUCOMPP', false, 2, 1),
  plain('FTST', (x87) => compareToFlags(x87, x87.isEmpty(0), () => zero(0), true, 0)),
  plain('FXAM', examine),
];
