// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { decode } from '../../../decode/decoder.ts';
import { Instruction } from '../../../decode/instruction.ts';
import type { CodeSize } from '../../../decode/instruction.ts';
import { DS, ES, FS, GS, RAX, RBP, RBX, RCX, RSI, SS, STATE } from '../state.ts';
import { addressRecord, effectiveOffset, segmentLinear } from './effective-address.ts';
import { Bench, SELECTOR } from './privilege-bench.test.ts';

function decoded(size: CodeSize, ...bytes: number[]): Instruction {
  const instruction = new Instruction();
  assert.equal(decode(Uint8Array.from(bytes), 0, bytes.length, size, instruction), 0);
  return instruction;
}

/** What an address record leaves in STATE.linear, or the fault. */
function linear(bench: Bench, size: CodeSize, ...bytes: number[]): number | string {
  return addressRecord(bench.cpu, decoded(size, ...bytes)) === 0 ? bench.cpu.getSigned(STATE.linear) : bench.fault();
}

test('16-bit addressing wraps at 64 KiB; an access may not', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  cpu.setReg32(RBX, 0x1000fff0);
  cpu.setReg32(RSI, 0x20);
  cpu.setSegment(DS, 0x2000, 0x20000, 0xffff, 0x93);
  assert.equal(linear(bench, 16, 0x8b, 0x00), 0x20010);
  assert.equal(linear(bench, 16, 0x8b, 0x40, 0xef), '#GP(0)', 'two bytes at ffff');
  assert.equal(linear(bench, 16, 0x8a, 0x40, 0xef), 0x2ffff);
  cpu.setReg32(RBP, 0xffff);
  assert.equal(linear(bench, 16, 0x8b, 0x46, 0x00), '#SS(0)');
  assert.equal(linear(bench, 16, 0x26, 0x8b, 0x46, 0x00), '#GP(0)');
  cpu.setReg32(RAX, 0x10000);
  assert.equal(linear(bench, 16, 0x67, 0x8b, 0x00), '#GP(0)');
});

test('bases wrap at 4 GiB', () => {
  const bench = new Bench('real');
  bench.cpu.setSegment(FS, 0xffff, 0xffff0, 0xffffffff, 0x93);
  bench.cpu.setReg32(RAX, 0xfff00020);
  assert.equal(linear(bench, 16, 0x64, 0x67, 0x8b, 0x00), 0x10);
});

test('protected mode: types, null segments, limits, expand-down', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  const cases: [rights: number, limit: number, offset: number, size: number, write: boolean, good: boolean][] = [
    [0xc093, 0xffffffff, 0xfffffffc, 4, true, true],
    [0xc093, 0xffffffff, 0xfffffffd, 4, true, false],
    [0x4093, 0xfff, 0xffc, 4, true, true],
    [0x4093, 0xfff, 0xffd, 4, false, false],
    [0xc091, 0xffffffff, 0, 4, false, true],
    [0xc091, 0xffffffff, 0, 4, true, false],
    [0xc09b, 0xffffffff, 0, 4, false, true],
    [0xc09b, 0xffffffff, 0, 1, true, false],
    [0xc099, 0xffffffff, 0, 1, false, false],
    [0x10000, 0xffffffff, 0, 1, false, false],
    [0x4097, 0xfff, 0xfff, 1, true, false],
    [0x4097, 0xfff, 0x1000, 1, true, true],
    [0x4097, 0xfff, 0xffffffff, 1, true, true],
    [0x0097, 0xfff, 0xffff, 1, true, true],
    [0x0097, 0xfff, 0xffff, 2, true, false],
    [0xc09f, 0xfff, 0x800, 2, false, true],
  ];
  for (const [rights, limit, offset, size, write, good] of cases) {
    for (const segment of [DS, SS]) {
      cpu.setSegment(segment, 8, 0, limit, rights);
      cpu.modeChanged();
      const at = segmentLinear(cpu, segment, offset, size, write);
      const text = `${rights.toString(16)} ${limit.toString(16)} ${offset.toString(16)} ${size} ${write}`;
      if (good) assert.equal(at, offset, text);
      else assert.equal(bench.fault(), segment === SS ? '#SS(0)' : '#GP(0)', text);
    }
  }
});

test('flat segments: a write through CS faults all the same', () => {
  const bench = new Bench('protected');
  assert.equal(linear(bench, 32, 0x2e, 0x89, 0x05, 0x10, 0, 0, 0), '#GP(0)');
  assert.equal(linear(bench, 32, 0x2e, 0x8b, 0x05, 0x10, 0, 0, 0), 0x10);
});

test('which instructions write their memory operand', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(ES, SELECTOR.readOnly, 0, 0xffffffff, 0xc091);
  cpu.modeChanged();
  for (const [bytes, writes] of [
    [[0x89, 0x00], true],
    [[0x8b, 0x00], false],
    [[0x39, 0x00], false],
    [[0x01, 0x00], true],
    [[0x85, 0x00], false],
    [[0x87, 0x00], true],
    [[0xf7, 0x20], false],
    [[0xf7, 0x18], true],
    [[0x0f, 0xa3, 0x00], false],
    [[0x0f, 0xab, 0x00], true],
    [[0x0f, 0x90, 0x00], true],
    [[0xd9, 0x00], false],
    [[0xd9, 0x18], true],
    [[0xdd, 0x38], true],
    [[0xd9, 0x38], true],
    [[0xdf, 0x28], false],
    [[0xdf, 0x38], true],
    [[0x0f, 0xae, 0x10], false],
    [[0x0f, 0xae, 0x18], true],
    [[0x0f, 0x11, 0x00], true],
    [[0x0f, 0x10, 0x00], false],
    [[0x0f, 0xb1, 0x00], true],
    [[0xa3, 0, 0, 0, 0], true],
  ] as const) {
    const instruction = decoded(32, ...bytes);
    assert.equal(linear(bench, 32, 0x26, ...bytes), writes ? '#GP(0)' : 0, instruction.opcode.mnemonic);
  }
});

test('LEA in any segment is an offset that nothing checks', () => {
  const bench = new Bench('protected');
  bench.cpu.setSegment(DS, 0, 0x1000, 0, 0x10000);
  bench.cpu.setReg32(RBX, 0x12345);
  bench.cpu.setReg32(RSI, 0xfff);
  assert.equal(linear(bench, 32, 0x67, 0x8d, 0x00), 0x3344);
});

test('64-bit mode: scaled sums wrap at 64 bits; FS and GS have bases; RIP-relative', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  cpu.setReg64(RAX, 0xffff800000000000n);
  cpu.setReg64(RCX, 0x2000000000000001n);
  cpu.setSegment(GS, 0, -0x1000, 0, 0x10000);
  assert.equal(effectiveOffset(cpu, decoded(64, 0x48, 0x8b, 0x44, 0xc8, 0x7f)), -0x800000000000 + 8 + 0x7f);
  assert.equal(linear(bench, 64, 0x65, 0x48, 0x8b, 0x44, 0xc8, 0x7f), '#GP(0)', 'just below the canonical half');
  assert.equal(linear(bench, 64, 0x2e, 0x48, 0x8b, 0x44, 0xc8, 0x7f), -0x800000000000 + 0x87);
  cpu.rip = 0x7fff00001000;
  assert.equal(linear(bench, 64, 0x48, 0x8b, 0x05, 0xfc, 0xff, 0xff, 0xff), 0x7fff00000ffc);
  assert.equal(linear(bench, 64, 0x65, 0x67, 0x8b, 0x05, 0xfc, 0xff, 0xff, 0xff), 0xffc - 0x1000);
  cpu.setReg64(RAX, 0x1_80000000n);
  assert.equal(linear(bench, 64, 0x67, 0x8b, 0x00), 0x80000000);
  cpu.setReg64(RAX, 0x7ffffffffffdn);
  assert.equal(linear(bench, 64, 0x8b, 0x00), '#GP(0)', 'the last byte counts');
  cpu.setReg64(RBP, 0x800000000000n);
  assert.equal(linear(bench, 64, 0x8b, 0x45, 0x00), '#SS(0)');
});
