// SPDX-License-Identifier: Apache-2.0
import { hex } from '../base/hex.ts';
import { BASE_RIP, OperandKind } from './instruction.ts';
import type { Instruction, Operand } from './instruction.ts';
import { generalName, registerName, segmentName } from './register-names.ts';

/** Text for traces and debuggers: Intel syntax in lower case, numbers in hexadecimal. */

// prettier-ignore
const SIZES: Readonly<Record<number, string>> = {
  8: 'byte ptr ', 16: 'word ptr ', 32: 'dword ptr ', 48: 'fword ptr ', 64: 'qword ptr ', 80: 'tbyte ptr ', 128: 'xmmword ptr ',
};

function bySize(names: readonly string[], size: number): string {
  return names[size === 64 ? 2 : size === 32 ? 1 : 0];
}

/** The SDM's mnemonic at the instruction's operand or address size: CWDE for the row CBW at 32 bits. */
export function mnemonicOf(instruction: Instruction): string {
  const row = instruction.opcode;
  if (row.bySize) return bySize(row.bySize, instruction.operandSize);
  if (row.byAddressSize) return bySize(row.byAddressSize, instruction.addressSize);
  return row.mnemonic;
}

/** The immediate as the signed 64-bit value that the instruction works on. */
export function immediateOf(instruction: Instruction): bigint {
  return BigInt.asIntN(64, (BigInt(instruction.immediateHigh) << 32n) | BigInt(instruction.immediateLow >>> 0));
}

/** The linear offset a near branch goes to, cut to the operand size; `rip` is that of the branch itself. */
export function branchTarget(instruction: Instruction, rip: number | bigint): bigint {
  const next = BigInt(rip) + BigInt(instruction.length);
  return BigInt.asUintN(instruction.operandSize, next + immediateOf(instruction));
}

function signedHex(value: bigint): string {
  return value < 0n ? `-${hex(-value)}` : hex(value);
}

/** Sign-extended immediates keep their sign; others are as wide as they were encoded. */
function immediateText(instruction: Instruction, operand: Operand, n: number): string {
  const value = immediateOf(instruction);
  const extended = instruction.opcode.operands[n].signed && (operand.size === 8 || instruction.operandSize === 64);
  return extended ? signedHex(value) : hex(BigInt.asUintN(operand.size, value));
}

function displacementOf(instruction: Instruction): bigint {
  const { displacementLow, displacementHigh } = instruction.memory;
  return BigInt.asIntN(64, (BigInt(displacementHigh) << 32n) | BigInt(displacementLow >>> 0));
}

/** `rax+rcx*8-0x10`; an address without registers is shown as wide as addresses are. */
function addressText(instruction: Instruction): string {
  const { base, index, scale } = instruction.memory;
  const displacement = displacementOf(instruction);
  const registers: string[] = [];
  if (base >= 0) registers.push(generalName(base, instruction.addressSize));
  if (index >= 0) registers.push(generalName(index, instruction.addressSize) + (scale === 0 ? '' : `*${1 << scale}`));
  if (registers.length === 0) return hex(BigInt.asUintN(instruction.addressSize, displacement));
  const sum = registers.join('+');
  if (displacement === 0n) return sum;
  return sum + (displacement < 0n ? '' : '+') + signedHex(displacement);
}

function memoryText(instruction: Instruction, operand: Operand): string {
  const segment = instruction.segmentOverride >= 0 ? `${segmentName(instruction.segmentOverride)}:` : '';
  return `${SIZES[operand.size] ?? ''}${segment}[${addressText(instruction)}]`;
}

function stringText(instruction: Instruction, operand: Operand): string {
  const segment = operand.kind === OperandKind.STRING_SOURCE ? instruction.memory.segment : 0;
  return `${SIZES[operand.size] ?? ''}${segmentName(segment)}:[${generalName(operand.register, instruction.addressSize)}]`;
}

function operandText(instruction: Instruction, n: number, rip: number | bigint): string {
  const operand = instruction.operands[n];
  switch (operand.kind) {
    case OperandKind.MEMORY:
      return memoryText(instruction, operand);
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
      return stringText(instruction, operand);
    case OperandKind.IMMEDIATE:
      return immediateText(instruction, operand, n);
    case OperandKind.SECOND_IMMEDIATE:
      return hex(instruction.secondImmediate);
    case OperandKind.RELATIVE:
      return hex(branchTarget(instruction, rip));
    case OperandKind.FAR_POINTER:
      return `${hex(instruction.secondImmediate)}:${hex(instruction.immediateLow >>> 0)}`;
    default:
      return registerName(operand);
  }
}

function prefixText(instruction: Instruction): string {
  const lock = instruction.lock ? 'lock ' : '';
  const { repeat } = instruction.opcode;
  if (repeat === 'none' || instruction.rep === 0) return lock;
  if (repeat === 'REP') return `${lock}rep `;
  return lock + (instruction.rep === 0xf3 ? 'repe ' : 'repne ');
}

/** A RIP-relative operand names its place beside the text. */
function placeText(instruction: Instruction, rip: number | bigint): string {
  if (instruction.memory.base !== BASE_RIP) return '';
  const place = BigInt(rip) + BigInt(instruction.length) + displacementOf(instruction);
  return ` # ${hex(BigInt.asUintN(instruction.addressSize, place))}`;
}

/** One line without its address: `lock add qword ptr [rax+0x8], rbx`. `rip` is that of the instruction. */
export function format(instruction: Instruction, rip: number | bigint): string {
  const operands: string[] = [];
  for (let n = 0; n < instruction.operandCount; n++) operands.push(operandText(instruction, n, rip));
  const head = prefixText(instruction) + mnemonicOf(instruction).toLowerCase();
  return (operands.length === 0 ? head : `${head} ${operands.join(', ')}`) + placeText(instruction, rip);
}
