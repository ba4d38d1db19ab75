// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InternalError } from '../../base/assert.ts';
import { parseOperand } from './operand-notation.ts';
import { OpcodeMap, PrefixClass, row } from './row.ts';
import { opcodeTable, rowWithoutFeature } from './table.ts';

function find(encoding: string): (typeof opcodeTable)[number] {
  const found = opcodeTable.find((candidate) => candidate.encoding === encoding);
  assert.ok(found, encoding);
  return found;
}

test('ids are indexes and no two rows are alike', () => {
  opcodeTable.forEach((candidate, index) => assert.equal(candidate.id, index));
  const keys = opcodeTable.map(
    (candidate) => `${candidate.encoding}|${candidate.operandText}|${candidate.no64}|${candidate.only64}`,
  );
  assert.equal(new Set(keys).size, keys.length);
});

test('an encoding is read as the SDM writes it', () => {
  const crc32 = row('F2 0F 38 F1', 'CRC32', 'Gy Ev');
  assert.deepEqual(
    [crc32.map, crc32.opcode, crc32.mandatoryPrefix, crc32.hasModrm],
    [OpcodeMap.X0F38, 0xf1, PrefixClass.F2, true],
  );
  const fld = row('D9 C0+i', 'FLD', 'STi');
  assert.deepEqual(
    [fld.map, fld.opcode, fld.modrm, fld.modrmCount, fld.mod],
    [OpcodeMap.ONE_BYTE, 0xd9, 0xc0, 8, 'register'],
  );
  const andn = row('VEX.LZ.0F38 F2', 'ANDN', 'Gy By Ey');
  assert.deepEqual([andn.map, andn.opcode, andn.mandatoryPrefix], [OpcodeMap.VEX_0F38, 0xf2, PrefixClass.NONE]);
  const cmpxchg16b = row('REX.W 0F C7 /1', 'CMPXCHG16B', 'Mdq');
  assert.deepEqual([cmpxchg16b.w, cmpxchg16b.digit, cmpxchg16b.mod], [1, 1, 'memory']);
});

test('a row that cannot be read is our own mistake', () => {
  assert.throws(() => row('0F 0F 0F', 'X'), InternalError);
  assert.throws(() => row('90', 'X', 'Kv'), InternalError);
  assert.throws(() => parseOperand('Ev/Rw'), InternalError);
});

test('mod follows from the operands', () => {
  assert.equal(row('0F 01 /0', 'SGDT', 'Ms').mod, 'memory');
  assert.equal(row('NP 0F 50', 'MOVMSKPS', 'Gy Ups').mod, 'register');
  assert.equal(row('0F 00 /0', 'SLDT', 'Rv/Mw').mod, 'any');
  assert.equal(row('0F 20', 'MOV', 'Ry Cy', { modIgnored: true }).mod, 'any');
});

test('what VMX non-root operation intercepts ends a block, and so does what needs CPL 0', () => {
  for (const candidate of opcodeTable) {
    if (candidate.vmx !== undefined || candidate.privileged)
      assert.equal(candidate.blockEnd, 'system', candidate.mnemonic);
  }
});

test('only instructions that the LOCK page lists may be locked', () => {
  const locked = new Set(opcodeTable.filter((candidate) => candidate.lock).map((candidate) => candidate.mnemonic));
  assert.deepEqual(
    [...locked].sort(),
    'ADC ADD AND BTC BTR BTS CMPXCHG CMPXCHG16B CMPXCHG8B DEC INC NEG NOT OR SBB SUB XADD XCHG XOR'.split(' '),
  );
});

test('three opcodes mean something else on processors without their feature', () => {
  assert.equal(rowWithoutFeature(find('F3 0F BC'))?.mnemonic, 'BSF');
  assert.equal(rowWithoutFeature(find('F3 0F BD'))?.mnemonic, 'BSR');
  assert.equal(rowWithoutFeature(find('F3 0F 09'))?.mnemonic, 'WBINVD');
  const others = opcodeTable.filter((candidate) => rowWithoutFeature(candidate) !== undefined);
  assert.deepEqual(others.map((candidate) => candidate.mnemonic).sort(), ['LZCNT', 'TZCNT', 'WBNOINVD']);
});
