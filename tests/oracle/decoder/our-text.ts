// SPDX-License-Identifier: Apache-2.0
import { branchTarget, immediateOf } from '../../../src/decode/format.ts';
import { BASE_RIP, OperandKind } from '../../../src/decode/instruction.ts';
import type { Instruction, Operand } from '../../../src/decode/instruction.ts';
import { generalName, registerName, segmentName } from '../../../src/decode/register-names.ts';

/** What our decoder says of operands, in words that iced-x86's answer is put into too (`their-text.ts`). */

const SELECTOR_ROWS = new Set(['LAR', 'LSL', 'LLDT', 'LTR', 'LMSW', 'VERR', 'VERW', 'ARPL', 'MOV']);

/** A selector in a register: iced-x86 names the register by operand size, the row by what is read. */
export function isSelector(ours: Instruction, n: number): boolean {
  const text = ours.opcode.operands[n]?.text;
  return (text === 'Ew' || text === 'Gw') && SELECTOR_ROWS.has(ours.opcode.mnemonic);
}

/** `value` cut to `bits`, in hexadecimal. */
export function unsigned(value: bigint, bits: number): string {
  return BigInt.asUintN(bits, value).toString(16);
}

/** How many bits of an immediate are compared: those that the instruction works on. */
export function immediateWidth(ours: Instruction, n: number): number {
  return ours.opcode.operands[n].signed ? ours.operandSize : ours.operands[n].size;
}

function memoryText(ours: Instruction): string {
  const { base, index, scale, displacementLow, displacementHigh, segment } = ours.memory;
  const displacement = (BigInt(displacementHigh) << 32n) | BigInt(displacementLow >>> 0);
  const place = base === BASE_RIP ? displacement + BigInt(ours.length) : displacement;
  const baseName = base < 0 ? 'none' : generalName(base, ours.addressSize);
  const indexName = index < 0 ? 'none' : generalName(index, ours.addressSize);
  return `${segmentName(segment)}:[${baseName}+${indexName}<<${scale}+${unsigned(place, ours.addressSize)}]`;
}

function operandText(ours: Instruction, operand: Operand, n: number): string {
  switch (operand.kind) {
    case OperandKind.MEMORY:
      return `${operand.size} ${memoryText(ours)}`;
    case OperandKind.IMMEDIATE:
      return `#${unsigned(immediateOf(ours), immediateWidth(ours, n))}`;
    case OperandKind.SECOND_IMMEDIATE:
      return `#${ours.secondImmediate.toString(16)}`;
    case OperandKind.RELATIVE:
      return `to ${branchTarget(ours, 0n).toString(16)}`;
    case OperandKind.FAR_POINTER:
      return `far ${ours.secondImmediate.toString(16)}:${unsigned(immediateOf(ours), 32)}`;
    case OperandKind.STRING_SOURCE:
      return `${operand.size} ${segmentName(ours.memory.segment)}:[${generalName(6, ours.addressSize)}]`;
    case OperandKind.STRING_DESTINATION:
      return `${operand.size} es:[${generalName(7, ours.addressSize)}]`;
    default:
      return isSelector(ours, n) ? generalName(operand.register, 64) : registerName(operand);
  }
}

function maskmovSize(ours: Instruction): number {
  return ours.opcode.mnemonic === 'MASKMOVQ' ? 64 : 128;
}

/** Operands that the row does not name, because nothing in the encoding does. */
function implicitText(ours: Instruction): string | undefined {
  const segment = segmentName(ours.memory.segment);
  if (ours.opcode.mnemonic === 'XLAT') return `${segment}:[${generalName(3, ours.addressSize)}+al]`;
  if (ours.opcode.mnemonic.startsWith('MASKMOV'))
    return `${maskmovSize(ours)} ${segment}:[${generalName(7, ours.addressSize)}]`;
  return undefined;
}

/** iced-x86 leaves out XMM0 of the blends, and ST0 of the one FSTP that is not in the manual. */
function isLeftOut(ours: Instruction, n: number): boolean {
  return ours.opcode.operands[n].text === 'XMM0' || (ours.opcode.mnemonic === 'FSTPNCE' && n === 1);
}

/** All operands that iced-x86 counts. */
export function ourOperands(ours: Instruction): string {
  const implicit = implicitText(ours);
  const parts = implicit === undefined ? [] : [implicit];
  for (let n = 0; n < ours.operandCount; n++)
    if (!isLeftOut(ours, n)) parts.push(operandText(ours, ours.operands[n], n));
  return parts.join(', ');
}
