// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { Addressing } from '../arch/instructions/operand-notation.ts';
import { OpcodeMap, PrefixClass } from '../arch/instructions/row.ts';
import type { OpcodeRow } from '../arch/instructions/row.ts';
import { opcodeTable } from '../arch/instructions/table.ts';
import { bytePosition, next8, openBytes, peek8, wasOverrun } from './byte-reader.ts';
import { OperandKind } from './instruction.ts';
import type { CodeSize, Instruction } from './instruction.ts';
import { readMemory, resetMemory } from './memory-operand.ts';
import { SelectionMode, UNDEFINED_ENTRY, selectModrm, selectOpcode } from './opcode-map.ts';
import { fillOperands } from './operands.ts';
import { RexBit } from './rex.ts';

/** See: SDM 2.1 Instruction Format for Protected Mode, Real-Address Mode, and Virtual-8086 Mode; 2.2 IA-32e Mode. */

/** How decoding ended. */
// prettier-ignore
export const DecodeStatus = {
  OK: 0,
  TRUNCATED: 1, // needs bytes beyond `limit`
  UNDEFINED: 2, // invalid-opcode exception
  TOO_LONG: 3,  // more than 15 bytes: general-protection exception
} as const;

/** See: SDM 2.3.11 AVX Instruction Length. */
const LONGEST = 15;

function rowOf(encoding: string): OpcodeRow {
  const row = opcodeTable.find((candidate) => candidate.encoding === encoding);
  assert(row, `no row ${encoding}`);
  return row;
}

const NOP = rowOf('90');
const XCHG_RAX = rowOf('90+r');

/**
 * Decodes the instruction at `bytes[offset]` into `out`; bytes at `limit` and beyond are not there.
 * Says nothing of CPUID features, privilege, or real-address and virtual-8086 mode: the row has them.
 */
export function decode(bytes: Uint8Array, offset: number, limit: number, codeSize: CodeSize, out: Instruction): number {
  const longest = offset + LONGEST;
  openBytes(bytes, offset, limit < longest ? limit : longest);
  const id = readOpcode(out, codeSize);
  const defined = !wasOverrun() && id !== UNDEFINED_ENTRY && readRest(out, opcodeTable[id], codeSize);
  out.length = bytePosition() - offset;
  if (wasOverrun()) return limit < longest ? DecodeStatus.TRUNCATED : DecodeStatus.TOO_LONG;
  return defined && !wrongLock(out) ? DecodeStatus.OK : DecodeStatus.UNDEFINED;
}

/** See: SDM Vol. 2A, LOCK: allowed only for listed instructions, and only where the destination is memory. */
function wrongLock(out: Instruction): boolean {
  return out.lock && !(out.opcode.lock && out.operands[0].kind === OperandKind.MEMORY);
}

/** Prefixes, opcode and ModRM: gives the row's id or UNDEFINED_ENTRY. */
function readOpcode(out: Instruction, codeSize: CodeSize): number {
  const long = codeSize === 64;
  const first = readPrefixes(out, long);
  // LES and LDS have memory operands: outside 64-bit mode a register there means VEX.
  if ((first === 0xc4 || first === 0xc5) && (long || peek8() >= 0xc0)) return readVex(out, first, long);
  let map: number = OpcodeMap.ONE_BYTE;
  let opcode = first;
  if (first === 0x0f) {
    map = OpcodeMap.X0F;
    opcode = next8();
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? OpcodeMap.X0F38 : OpcodeMap.X0F3A;
      opcode = next8();
    }
  }
  out.rm = opcode & 7;
  return select(out, map, opcode, prefixClass(out), modeOf(out, long));
}

/** Returns the first byte that is no prefix. REX counts only directly before the opcode. */
function readPrefixes(out: Instruction, long: boolean): number {
  out.lock = false;
  out.rep = 0;
  out.segmentOverride = -1;
  out.operandSizePrefix = false;
  out.addressSizePrefix = false;
  out.rex = 0;
  out.vvvv = 0;
  for (;;) {
    const byte = next8();
    if (long && (byte & 0xf0) === 0x40) {
      out.rex = byte;
      continue;
    }
    if (!readPrefix(out, byte, long)) return byte;
    out.rex = 0;
  }
}

function readPrefix(out: Instruction, byte: number, long: boolean): boolean {
  switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
      if (!long) out.segmentOverride = (byte >> 3) & 3;
      return true;
    case 0x64:
    case 0x65:
      out.segmentOverride = byte & 7;
      return true;
    case 0x66:
      out.operandSizePrefix = true;
      return true;
    case 0x67:
      out.addressSizePrefix = true;
      return true;
    case 0xf0:
      out.lock = true;
      return true;
    case 0xf2:
    case 0xf3:
      out.rep = byte;
      return true;
    default:
      return false;
  }
}

/** F2 and F3 come before 66. */
function prefixClass(out: Instruction): number {
  if (out.rep === 0xf3) return PrefixClass.F3;
  if (out.rep === 0xf2) return PrefixClass.F2;
  return out.operandSizePrefix ? PrefixClass.X66 : PrefixClass.NONE;
}

function modeOf(out: Instruction, long: boolean): number {
  if (!long) return SelectionMode.LEGACY;
  return (out.rex & RexBit.W) !== 0 ? SelectionMode.LONG_W : SelectionMode.LONG;
}

/** See: SDM 2.3.5 The VEX Prefix. The opcode follows; rows with VEX.L = 1 there are none. */
function readVex(out: Instruction, first: number, long: boolean): number {
  const prefixed = out.rex !== 0 || out.rep !== 0 || out.operandSizePrefix || out.lock;
  const second = next8();
  const third = first === 0xc4 ? next8() : second & 0x7f;
  const map = first === 0xc4 ? second & 0x1f : 1;
  const opcode = next8();
  if (wasOverrun() || prefixed || map < 1 || map > 3 || (third & 4) !== 0) return UNDEFINED_ENTRY;
  const inverted = first === 0xc4 ? (~second >> 5) & 7 : (~second >> 5) & RexBit.R;
  out.rex = long ? 0x40 | ((third >> 4) & RexBit.W) | inverted : 0;
  out.vvvv = (~third >> 3) & (long ? 15 : 7);
  const id = select(out, OpcodeMap.VEX_0F + map - 1, opcode, third & 3, modeOf(out, long));
  return id !== UNDEFINED_ENTRY && (third & 0x78) !== 0x78 && !namesVvvv(opcodeTable[id]) ? UNDEFINED_ENTRY : id;
}

/** A VEX.vvvv that names no operand must be all ones. */
function namesVvvv(row: OpcodeRow): boolean {
  return row.operands.some((form) => form.addressing === Addressing.B);
}

function select(out: Instruction, map: number, opcode: number, prefix: number, mode: number): number {
  out.hasModrm = false;
  out.modrm = 0;
  out.mod = 0;
  out.reg = 0;
  const entry = wasOverrun() ? UNDEFINED_ENTRY : selectOpcode(map, opcode, prefix, mode);
  if (entry === UNDEFINED_ENTRY) return entry;
  if (entry < UNDEFINED_ENTRY) {
    readModrm(out);
    return selectModrm(entry, out.modrm);
  }
  if (opcodeTable[entry].hasModrm) readModrm(out);
  return entry;
}

function readModrm(out: Instruction): void {
  const modrm = next8();
  out.hasModrm = true;
  out.modrm = modrm;
  out.mod = modrm >> 6;
  out.reg = (modrm >> 3) & 7;
  out.rm = modrm & 7;
}

/** Everything after ModRM. Gives false when an operand does not exist. */
function readRest(out: Instruction, selected: OpcodeRow, codeSize: CodeSize): boolean {
  // 90 is NOP only while its register is rAX. See: SDM Vol. 2B, XCHG.
  const row = selected === NOP && (out.rex & RexBit.B) !== 0 ? XCHG_RAX : selected;
  out.opcode = row;
  out.operandSize = operandSizeOf(out, row, codeSize);
  out.addressSize = addressSizeOf(out, codeSize);
  resetMemory(out);
  if (row.hasModrm && out.mod !== 3 && !row.modIgnored) readMemory(out, codeSize);
  return fillOperands(out, row, codeSize);
}

/** See: SDM 3.6.1 Operand Size and Address Size in 64-Bit Mode. A mandatory 66 is no operand-size prefix. */
function operandSizeOf(out: Instruction, row: OpcodeRow, codeSize: CodeSize): 16 | 32 | 64 {
  const prefix = out.operandSizePrefix && row.mandatoryPrefix !== PrefixClass.X66;
  if (codeSize !== 64) return prefix === (codeSize === 32) ? 16 : 32;
  if (row.force64 || (out.rex & RexBit.W) !== 0) return 64;
  if (prefix) return 16;
  return row.default64 ? 64 : 32;
}

function addressSizeOf(out: Instruction, codeSize: CodeSize): 16 | 32 | 64 {
  if (!out.addressSizePrefix) return codeSize;
  return codeSize === 32 ? 16 : 32;
}
