// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Code,
  CpuidFeature,
  Decoder,
  DecoderOptions,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import type { Instruction as Oracle } from 'iced-x86';
import { hexBytes } from '../base/hex.ts';
import { Addressing } from '../arch/instructions/operand-notation.ts';
import type { OpcodeRow } from '../arch/instructions/row.ts';
import { opcodeTable } from '../arch/instructions/table.ts';
import { DecodeStatus, decode } from './decoder.ts';
import { branchTarget, format, immediateOf, mnemonicOf } from './format.ts';
import { BASE_RIP, Instruction, OperandKind } from './instruction.ts';
import type { CodeSize, Operand } from './instruction.ts';
import { generalName, registerName, segmentName } from './register-names.ts';

/** The same bytes through iced-x86, an independent decoder: same length, same mnemonic, same operands, or both undefined. */

// prettier-ignore
const KNOWN_FEATURES = new Set([
  'INTEL8086', 'INTEL8086_ONLY', 'INTEL186', 'INTEL286', 'INTEL286_ONLY', 'INTEL386', 'INTEL386_ONLY', 'INTEL486', 'X64', 'CPUID', 'CX8', 'CMOV',
  'CMPXCHG16B', 'FPU', 'FPU287', 'FPU387', 'FPU287XL_ONLY', 'MMX', 'SSE', 'SSE2', 'SSE3', 'SSSE3', 'SSE4_1', 'SSE4_2', 'AES', 'PCLMULQDQ', 'POPCNT', 'LZCNT',
  'BMI1', 'BMI2', 'ADX', 'MOVBE', 'RDRAND', 'RDSEED', 'TSC', 'RDTSCP', 'RDPID', 'RDPMC', 'FSGSBASE', 'MSR', 'SEP', 'SYSCALL', 'SMAP', 'SMM', 'SMX', 'VMX',
  'INVPCID', 'INVEPT', 'INVVPID', 'MONITOR', 'PAUSE', 'MULTIBYTENOP', 'PREFETCHW', 'CLFSH', 'CLFLUSHOPT', 'CLWB', 'WBNOINVD', 'FXSR', 'XSAVE', 'XSAVEC',
  'XSAVEOPT', 'XSAVES', 'UDBG', 'CET_IBT',
]);
const HINT_FEATURES = new Set(['PREFETCHITI', 'CLDEMOTE', 'PREFETCHWT1']);

const RENAMED: Readonly<Record<string, string>> = {
  WAIT: 'FWAIT',
  RESERVEDNOP: 'NOP',
  GETSECQ: 'GETSEC',
  PCMPESTRM64: 'PCMPESTRM',
  PCMPESTRI64: 'PCMPESTRI',
};

/** Rows whose implicit operands the two sides count differently: only length and mnemonic are compared. */
const IMPLICIT = new Set(['XLAT', 'MASKMOVQ', 'MASKMOVDQU', 'NOP', 'FSTPNCE']);

let state = 0x2545f491;
/** xorshift: the same bytes in every run. Gives 0 to below `limit`. */
function random(limit: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return Math.floor(((state >>> 0) / 2 ** 32) * limit);
}

const SELECTOR_ROWS = new Set(['LAR', 'LSL', 'LLDT', 'LTR', 'LMSW', 'VERR', 'VERW', 'ARPL', 'MOV']);
/** Hint opcodes to which later processors gave names. */
const HINTS = new Set(['0F 0D', '0F 18', '0F 1C', '0F 1E']);

function unsigned(value: bigint, bits: number): string {
  return BigInt.asUintN(bits, value).toString(16);
}

const ours = new Instruction();
let ignoredOverride = false;

/** iced-x86 shows the overrides that 64-bit mode ignores. */
function size64Segment(segment: string): string {
  return ignoredOverride && segment !== 'fs' && segment !== 'gs' ? 'ignored' : segment;
}

/** A selector in a register: iced-x86 names the register by operand size, the row by what is read. */
function isSelector(n: number): boolean {
  const text = ours.opcode.operands[n]?.text;
  return (text === 'Ew' || text === 'Gw') && SELECTOR_ROWS.has(ours.opcode.mnemonic);
}

function ourMemory(): string {
  const { base, index, scale, displacementLow, displacementHigh, segment } = ours.memory;
  const displacement = (BigInt(displacementHigh) << 32n) | BigInt(displacementLow >>> 0);
  const place = base === BASE_RIP ? displacement + BigInt(ours.length) : displacement;
  const baseName = base < 0 ? 'none' : generalName(base, ours.addressSize);
  const indexName = index < 0 ? 'none' : generalName(index, ours.addressSize);
  return `${size64Segment(segmentName(segment))}:[${baseName}+${indexName}<<${scale}+${unsigned(place, ours.addressSize)}]`;
}

function immediateWidth(operand: Operand, n: number): number {
  return ours.opcode.operands[n].signed ? ours.operandSize : operand.size;
}

function ourOperand(n: number): string {
  const operand = ours.operands[n];
  switch (operand.kind) {
    case OperandKind.MEMORY:
      return `${operand.size} ${ourMemory()}`;
    case OperandKind.IMMEDIATE:
      return `#${unsigned(immediateOf(ours), immediateWidth(operand, n))}`;
    case OperandKind.SECOND_IMMEDIATE:
      return `#${ours.secondImmediate.toString(16)}`;
    case OperandKind.RELATIVE:
      return `to ${branchTarget(ours, 0n).toString(16)}`;
    case OperandKind.FAR_POINTER:
      return `far ${ours.secondImmediate.toString(16)}:${unsigned(immediateOf(ours), 32)}`;
    case OperandKind.STRING_SOURCE:
      return `${size64Segment(segmentName(ours.memory.segment))}:[${generalName(6, ours.addressSize)}]`;
    case OperandKind.STRING_DESTINATION:
      return `es:[${generalName(7, ours.addressSize)}]`;
    default:
      return isSelector(n) ? generalName(operand.register, 64) : registerName(operand);
  }
}

function name(register: number): string {
  return Register[register].toLowerCase().replace(/^r(\d+)l$/, 'r$1b');
}

// prettier-ignore
const STRINGS: Readonly<Record<number, string>> = {
  [OpKind.MemorySegSI]: 'si', [OpKind.MemorySegESI]: 'esi', [OpKind.MemorySegRSI]: 'rsi',
  [OpKind.MemoryESDI]: 'di', [OpKind.MemoryESEDI]: 'edi', [OpKind.MemoryESRDI]: 'rdi',
};

function theirMemory(oracle: Oracle): string {
  const scale = oracle.memoryIndex === Register.None ? 0 : Math.log2(oracle.memoryIndexScale);
  const displacement = unsigned(oracle.memoryDisplacement, ours.addressSize);
  return `${size64Segment(name(oracle.memorySegment))}:[${name(oracle.memoryBase)}+${name(oracle.memoryIndex)}<<${scale}+${displacement}]`;
}

function theirOperand(oracle: Oracle, n: number): string {
  const kind = oracle.opKind(n);
  const string = STRINGS[kind];
  if (string !== undefined)
    return `${string.endsWith('di') ? 'es' : size64Segment(name(oracle.memorySegment))}:[${string}]`;
  switch (kind) {
    case OpKind.Register:
      return name(isSelector(n) ? RegisterExt.fullRegister(oracle.opRegister(n)) : oracle.opRegister(n));
    case OpKind.Memory:
      return `${ours.operands[n].size === 0 ? 0 : MemorySizeExt.size(oracle.memorySize) * 8} ${theirMemory(oracle)}`;
    case OpKind.NearBranch16:
    case OpKind.NearBranch32:
    case OpKind.NearBranch64:
      return `to ${oracle.nearBranchTarget.toString(16)}`;
    case OpKind.FarBranch16:
      return `far ${oracle.farBranchSelector.toString(16)}:${oracle.farBranch16.toString(16)}`;
    case OpKind.FarBranch32:
      return `far ${oracle.farBranchSelector.toString(16)}:${oracle.farBranch32.toString(16)}`;
    default:
      return `#${unsigned(oracle.immediate(n), immediateWidth(ours.operands[n], n))}`;
  }
}

/** iced-x86 knows processors that we are not: AMD's SYSCALL in legacy mode, later extensions in the hint opcodes. */
function beyondUs(oracle: Oracle, size: CodeSize): boolean {
  const features = Array.from(oracle.cpuidFeatures(), (feature) => CpuidFeature[feature]);
  if (features.includes('SYSCALL') && size !== 64) return true;
  return !features.every((feature) => KNOWN_FEATURES.has(feature) || HINT_FEATURES.has(feature));
}

function difference(oracle: Oracle, status: number, size: CodeSize): string | undefined {
  const theirs = oracle.code === Code.INVALID ? 'undefined' : Mnemonic[oracle.mnemonic].toUpperCase();
  if (status === DecodeStatus.UNDEFINED) {
    return theirs === 'undefined' || beyondUs(oracle, size)
      ? undefined
      : `undefined, not ${theirs} ${Code[oracle.code]}`;
  }
  if (status === DecodeStatus.TOO_LONG && theirs === 'undefined') return undefined;
  if (status !== DecodeStatus.OK) return `status ${status}, not ${theirs}`;
  if (theirs === 'undefined') return `${format(ours, 0)} (${ours.opcode.encoding}), not undefined`;
  if (ours.length !== oracle.length) return `length ${ours.length}, not ${oracle.length} ${Code[oracle.code]}`;
  if (HINTS.has(ours.opcode.encoding)) return undefined;
  const expected = RENAMED[theirs] ?? theirs;
  if (mnemonicOf(ours) !== expected) return `${mnemonicOf(ours)}, not ${expected}`;
  return IMPLICIT.has(ours.opcode.mnemonic) ? undefined : operandDifference(oracle);
}

function operandDifference(oracle: Oracle): string | undefined {
  const explicit = ours.opcode.operands.filter((form) => form.text !== 'XMM0').length;
  const mine = Array.from({ length: explicit }, (_, n) => ourOperand(n)).join(', ');
  const theirs = Array.from({ length: oracle.opCount }, (_, n) => theirOperand(oracle, n)).join(', ');
  return mine === theirs
    ? undefined
    : `${ours.opcode.encoding} ${mnemonicOf(ours)} ${mine}, not ${theirs} ${Code[oracle.code]}`;
}

function compare(bytes: Uint8Array, size: CodeSize, seen: Map<string, string>): number {
  const status = decode(bytes, 0, bytes.length, size, ours);
  const decoder = new Decoder(size, bytes, DecoderOptions.None);
  const oracle = decoder.decode();
  ignoredOverride = size === 64 && oracle.hasSegmentPrefix;
  const found = difference(oracle, status, size);
  if (found !== undefined) seen.set(`${ours.opcode.encoding} ${size}`, `${size}-bit ${hexBytes(bytes)}: ${found}`);
  oracle.free();
  decoder.free();
  return status;
}

const SIZES: readonly CodeSize[] = [16, 32, 64];
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x48, 0x41, 0x44, 0x4f, 0x40];

function randomBytes(): number[] {
  return Array.from({ length: 20 }, () => random(256));
}

function randomPrefixes(): number[] {
  const prefixes: number[] = [];
  while (prefixes.length < 4 && random(10) < 4) prefixes.push(PREFIXES[random(PREFIXES.length)]);
  return prefixes;
}

const MANDATORY = [[], [0x66], [0xf3], [0xf2]];
const MAP_BYTES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** Bytes that select a row, as far as prefixes let them; what the row leaves open is random. */
function bytesOf(row: OpcodeRow, size: CodeSize): Uint8Array {
  const tail = randomBytes();
  if (row.modrm >= 0) tail[0] = row.modrm + random(row.modrmCount);
  else if (row.digit >= 0) tail[0] = (tail[0] & 0xc7) | (row.digit << 3);
  if (row.modrm < 0 && row.mod === 'register') tail[0] |= 0xc0;
  if (row.modrm < 0 && row.mod === 'memory' && tail[0] >= 0xc0) tail[0] -= 0x40 * (1 + random(3));
  const opcode = row.opcode + (row.registerInOpcode ? random(8) : 0);
  if (row.map >= 4) return Uint8Array.from([...vexOf(row), opcode, ...tail]);
  const mandatory = row.mandatoryPrefix > 0 ? MANDATORY[row.mandatoryPrefix] : [];
  const rex = size === 64 && (row.w === 1 || random(2) === 0) ? [0x40 | random(16) | (row.w === 1 ? 8 : 0)] : [];
  return Uint8Array.from([...randomPrefixes(), ...mandatory, ...rex, ...MAP_BYTES[row.map], opcode, ...tail]);
}

function vexOf(row: OpcodeRow): number[] {
  const open = row.operands.some((form) => form.addressing === Addressing.B) ? random(16) : 15;
  return [0xc4, (random(8) << 5) | (row.map - 3), (random(2) << 7) | (open << 3) | row.mandatoryPrefix];
}

function report(seen: Map<string, string>): void {
  assert.deepEqual([...seen.values()].slice(0, 40), []);
}

test('every row, with random prefixes and operands, as iced-x86 decodes it', () => {
  const seen = new Map<string, string>();
  const reached = new Set<number>();
  for (const row of opcodeTable) {
    for (let n = 0; n < 48; n++) {
      const size = SIZES[n % 3];
      if (compare(bytesOf(row, size), size, seen) === DecodeStatus.OK) reached.add(ours.opcode.id);
    }
  }
  report(seen);
  const missed = opcodeTable.filter((row) => !reached.has(row.id)).map((row) => `${row.encoding} ${row.mnemonic}`);
  assert.deepEqual(missed, [], 'rows that no bytes reach');
});

test('random bytes, as iced-x86 decodes them', () => {
  const seen = new Map<string, string>();
  for (let n = 0; n < 60_000; n++) {
    const escape = [[], [], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], [0xc4], [0xc5]][random(8)];
    const bytes = Uint8Array.from([...randomPrefixes(), ...escape, ...randomBytes()]);
    compare(bytes, SIZES[n % 3], seen);
  }
  report(seen);
});
