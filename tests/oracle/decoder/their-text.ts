// SPDX-License-Identifier: Apache-2.0
import { MemorySizeExt, OpKind, Register, RegisterExt } from 'iced-x86';
import type { Instruction as Oracle } from 'iced-x86';
import type { Instruction } from '../../../src/decode/instruction.ts';
import { immediateWidth, isSelector, unsigned } from './our-text.ts';

/** What iced-x86 says of operands, in the words of `our-text.ts`. */

// prettier-ignore
const STRINGS: Readonly<Record<number, string>> = {
  [OpKind.MemorySegSI]: 'si', [OpKind.MemorySegESI]: 'esi', [OpKind.MemorySegRSI]: 'rsi',
  [OpKind.MemorySegDI]: 'di', [OpKind.MemorySegEDI]: 'edi', [OpKind.MemorySegRDI]: 'rdi',
};
// prettier-ignore
const DESTINATIONS: Readonly<Record<number, string>> = {
  [OpKind.MemoryESDI]: 'di', [OpKind.MemoryESEDI]: 'edi', [OpKind.MemoryESRDI]: 'rdi',
};

function name(register: number): string {
  return Register[register].toLowerCase().replace(/^r(\d+)l$/, 'r$1b');
}

/** iced-x86 shows the overrides that 64-bit mode ignores; the segment is then the one there would be without. */
function segmentText(oracle: Oracle, long: boolean): string {
  const segment = name(oracle.memorySegment);
  if (!long || !oracle.hasSegmentPrefix || segment === 'fs' || segment === 'gs') return segment;
  const base = RegisterExt.number(oracle.memoryBase);
  const isGeneral = oracle.memoryBase !== Register.None && RegisterExt.isGPR(oracle.memoryBase);
  return isGeneral && (base === 4 || base === 5) ? 'ss' : 'ds';
}

function memoryText(ours: Instruction, oracle: Oracle, long: boolean): string {
  const scale = oracle.memoryIndex === Register.None ? 0 : Math.log2(oracle.memoryIndexScale);
  const displacement = unsigned(oracle.memoryDisplacement, ours.addressSize);
  const place = `${name(oracle.memoryBase)}+${name(oracle.memoryIndex)}<<${scale}+${displacement}`;
  return `${segmentText(oracle, long)}:[${place}]`;
}

/** XLAT's operand is the sum of two registers and nothing else. */
function xlatText(oracle: Oracle, long: boolean): string {
  return `${segmentText(oracle, long)}:[${name(oracle.memoryBase)}+${name(oracle.memoryIndex)}]`;
}

/** An operand in memory without a size of its own (an address only, or a state's whole) has size 0 in our table. */
function sizeText(ours: Instruction, oracle: Oracle, n: number): number {
  return ours.operands[n].size === 0 ? 0 : MemorySizeExt.size(oracle.memorySize) * 8;
}

function operandText(ours: Instruction, oracle: Oracle, n: number, long: boolean): string {
  const kind = oracle.opKind(n);
  const bits = MemorySizeExt.size(oracle.memorySize) * 8;
  if (STRINGS[kind] !== undefined) return `${bits} ${segmentText(oracle, long)}:[${STRINGS[kind]}]`;
  if (DESTINATIONS[kind] !== undefined) return `${bits} es:[${DESTINATIONS[kind]}]`;
  switch (kind) {
    case OpKind.Register:
      return name(isSelector(ours, n) ? RegisterExt.fullRegister(oracle.opRegister(n)) : oracle.opRegister(n));
    case OpKind.Memory:
      if (ours.opcode.mnemonic === 'XLAT') return xlatText(oracle, long);
      return `${sizeText(ours, oracle, n)} ${memoryText(ours, oracle, long)}`;
    case OpKind.NearBranch16:
    case OpKind.NearBranch32:
    case OpKind.NearBranch64:
      return `to ${oracle.nearBranchTarget.toString(16)}`;
    case OpKind.FarBranch16:
      return `far ${oracle.farBranchSelector.toString(16)}:${oracle.farBranch16.toString(16)}`;
    case OpKind.FarBranch32:
      return `far ${oracle.farBranchSelector.toString(16)}:${oracle.farBranch32.toString(16)}`;
    default:
      return `#${unsigned(oracle.immediate(n), immediateWidth(ours, n))}`;
  }
}

/** The first `count` operands; `ours` is our reading of the same bytes, `long` says 64-bit mode. */
export function theirOperands(ours: Instruction, oracle: Oracle, long: boolean, count: number): string {
  const parts: string[] = [];
  for (let n = 0; n < count; n++) parts.push(operandText(ours, oracle, n, long));
  return parts.join(', ');
}
