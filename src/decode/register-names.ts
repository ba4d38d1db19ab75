// SPDX-License-Identifier: Apache-2.0
import { BASE_RIP, OperandKind } from './instruction.ts';
import type { Operand } from './instruction.ts';

const BYTE = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH = ['ah', 'ch', 'dh', 'bh'];
const WORD = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

/** A general register, `size` 8, 16, 32 or 64 bits; BASE_RIP gives the instruction pointer. */
export function generalName(register: number, size: number): string {
  const letter = size === 64 ? 'r' : size === 32 ? 'e' : '';
  if (register === BASE_RIP) return `${letter}ip`;
  if (register >= 8) return `r${register}${size === 8 ? 'b' : size === 16 ? 'w' : size === 32 ? 'd' : ''}`;
  return size === 8 ? BYTE[register] : letter + WORD[register];
}

export function segmentName(segment: number): string {
  return SEGMENTS[segment];
}

/** The name of a register operand of any file; the empty string for other operands. */
export function registerName(operand: Operand): string {
  const { kind, register, size, high8 } = operand;
  switch (kind) {
    case OperandKind.GENERAL:
      return high8 ? HIGH[register] : generalName(register, size);
    case OperandKind.SEGMENT:
      return segmentName(register);
    case OperandKind.CONTROL:
      return `cr${register}`;
    case OperandKind.DEBUG:
      return `dr${register}`;
    case OperandKind.MMX:
      return `mm${register}`;
    case OperandKind.XMM:
      return `xmm${register}`;
    case OperandKind.X87:
      return `st${register}`;
    default:
      return '';
  }
}
