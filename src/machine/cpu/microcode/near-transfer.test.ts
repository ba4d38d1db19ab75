// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CONDITIONS } from '../../../arch/instructions/general.ts';
import { RFLAGS } from '../register-bits.ts';
import { CS, RAX, RCX, RSP } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';

test('16-bit code: the instruction pointer wraps at 64 KiB', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  assert.equal(bench.run(0xe9, 0x00, 0xff), 'ok');
  assert.equal(cpu.rip, 3);
  assert.equal(bench.run(0xeb, 0x80), 'ok');
  assert.equal(cpu.rip, 0xff85);
  assert.equal(bench.run(0x66, 0xe9, 0x00, 0x01, 0x00, 0x00), '#GP(0)', '32-bit operands do not wrap');
});

test('protected mode: a branch beyond the limit of CS faults at the branch, and CALL pushes nothing', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(CS, SELECTOR.code0, 0, AT.code + 0x10, 0x409b);
  cpu.modeChanged();
  assert.equal(bench.run(0xe8, 0x20, 0, 0, 0), '#GP(0)');
  assert.deepEqual([cpu.rip, cpu.reg32(RSP)], [AT.code, AT.stack0 + 0x800]);
  assert.equal(bench.run(0xe8, 0x0b, 0, 0, 0), 'ok');
  assert.deepEqual([cpu.rip, bench.stacked(4, 1)[0]], [AT.code + 0x10, AT.code + 5]);
  assert.equal(bench.run(0xc2, 0x08, 0x00), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RSP)], [AT.code + 5, AT.stack0 + 0x808]);
  bench.stack(4, 0x12345678);
  assert.equal(bench.run(0xc3), '#GP(0)');
  assert.equal(bench.run(0x75, 0x7f), '#GP(0)');
  cpu.rflags = 2 | RFLAGS.ZF;
  assert.equal(bench.run(0x75, 0x7f), 'ok', 'a branch not taken is not checked');
});

test('16-bit operands cut the target; through registers and memory', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RAX, 0x12345678);
  assert.equal(bench.run(0x66, 0xff, 0xe0), 'ok');
  assert.equal(cpu.rip, 0x5678);
  bench.poke(AT.data, 4, 0x23456);
  cpu.setReg32(RAX, AT.data);
  assert.equal(bench.run(0xff, 0x10), 'ok');
  assert.deepEqual([cpu.rip, bench.stacked(4, 1)[0]], [0x23456, 0x567a]);
  assert.equal(bench.run(0x66, 0xff, 0xd0), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RSP)], [AT.data & 0xffff, AT.stack0 + 0x800 - 6]);
});

test('every condition against all flags', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  for (let n = 0; n < 32; n++) {
    const [cf, pf, zf, sf, of] = [0, 1, 2, 3, 4].map((bit) => ((n >> bit) & 1) === 1);
    const truth = [of, cf, zf, cf || zf, sf, pf, sf !== of, zf || sf !== of];
    for (let code = 0; code < 16; code++) {
      cpu.rflags = 2 | (cf ? 1 : 0) | (pf ? 4 : 0) | (zf ? 0x40 : 0) | (sf ? 0x80 : 0) | (of ? 0x800 : 0);
      cpu.rip = 0x100;
      assert.equal(bench.run(0x70 + code, 0x10), 'ok');
      assert.equal(
        cpu.rip === 0x112,
        truth[code >> 1] !== ((code & 1) === 1),
        `J${CONDITIONS[code]} with ${cpu.rflags.toString(16)}`,
      );
    }
  }
});

test('LOOP counts in CX or ECX by the address size; JCXZ looks at it', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  cpu.setReg32(RCX, 0x10000);
  assert.equal(bench.run(0xe2, 0x10), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RCX)], [0x112, 0x1ffff]);
  cpu.setReg32(RCX, 0x10001);
  assert.equal(bench.run(0xe2, 0x10), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RCX)], [0x114, 0x10000]);
  assert.equal(bench.run(0xe3, 0x10), 'ok');
  assert.equal(cpu.rip, 0x126);
  assert.equal(bench.run(0x67, 0xe3, 0x10), 'ok');
  assert.equal(cpu.rip, 0x129);
  assert.equal(bench.run(0x67, 0xe2, 0x10), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RCX)], [0x13c, 0xffff]);
  cpu.rflags = 2;
  assert.equal(bench.run(0xe1, 0x10), 'ok');
  assert.equal(cpu.rip, 0x13e, 'LOOPE without ZF');
  assert.equal(bench.run(0xe0, 0x10), 'ok');
  assert.equal(cpu.rip, 0x150, 'LOOPNE without ZF');
});

test('LOOP to beyond the limit leaves the count', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(CS, SELECTOR.code0, 0, AT.code + 0x10, 0x409b);
  cpu.modeChanged();
  cpu.setReg32(RCX, 5);
  assert.equal(bench.run(0xe2, 0x20), '#GP(0)');
  assert.equal(cpu.reg32(RCX), 5);
});
