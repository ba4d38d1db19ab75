// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { RFLAGS } from '../register-bits.ts';
import { ATTENTION, CS, DS, ES, FS, RSP, SS, STATE } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';

const ALL = 0x3fffff;

test('real-address mode: 16 bits take all of FLAGS, 32 leave VM, VIF and VIP', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  bench.stack(2, 0x1234, 0x2000, 0x7fff);
  bench.poke(0x18800, 2, 0x1234);
  bench.poke(0x18802, 2, 0x2000);
  bench.poke(0x18804, 2, 0xffff);
  assert.equal(bench.run(0xcf), 'ok');
  assert.deepEqual([cpu.selector(CS), cpu.rip, cpu.reg16(RSP), cpu.rflags], [0x2000, 0x1234, 0x806, 0x7fd7]);
  assert.equal(cpu.get32(STATE.attention), ATTENTION.interrupt | ATTENTION.debug);
  bench.poke(0x18806, 4, 0x10000);
  assert.equal(bench.run(0x66, 0xcf), '#GP(0)');
  bench.poke(0x18806, 4, 0xffff);
  bench.poke(0x1880a, 4, 0x30);
  bench.poke(0x1880e, 4, ALL);
  assert.equal(bench.run(0x66, 0xcf), 'ok');
  assert.equal(cpu.rflags, 0x247fd7, 'RF is dropped without breakpoints');
});

test('which flags a level may change', () => {
  const cases: [level: 0 | 3, iopl: number, size: 16 | 32, expected: number][] = [
    [0, 0, 32, 0x3c7fd7 & ~RFLAGS.VM],
    [0, 0, 16, 0x7fd7],
    [3, 0, 32, 0x244dd7],
    [3, 3, 32, 0x247fd7],
    [3, 0, 16, 0x4dd7],
  ];
  for (const [level, iopl, size, expected] of cases) {
    const bench = new Bench('protected');
    const { cpu } = bench;
    bench.level(level);
    cpu.rflags = 2 | (iopl << 12);
    const selector = level === 3 ? SELECTOR.code3 : SELECTOR.code0;
    bench.stack(size === 32 ? 4 : 2, 0x100, selector, ALL & ~RFLAGS.VM);
    assert.equal(bench.run(...(size === 32 ? [0xcf] : [0x66, 0xcf])), 'ok');
    assert.equal(cpu.rflags, expected, `level ${level} IOPL ${iopl} size ${size}`);
    assert.equal(cpu.reg32(RSP) & 0x7ff, size === 32 ? 12 : 6);
  }
});

test('RF is kept while instruction breakpoints are enabled', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  cpu.set32(STATE.dr7, 0x402);
  bench.stack(8, AT.code, SELECTOR.code64, 2 | RFLAGS.RF, AT.stack0, SELECTOR.data0);
  assert.equal(bench.run(0x48, 0xcf), 'ok');
  assert.equal(cpu.rflags, 2 | RFLAGS.RF);
  assert.equal(cpu.get32(STATE.attention), ATTENTION.debug);
});

test('protected mode: to level 3, dropping segments of level 0', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(DS, SELECTOR.data0, 0, 0xffffffff, 0xc093);
  cpu.setSegment(ES, SELECTOR.conforming, 0, 0xffffffff, 0xc09f);
  bench.stack(4, 0x100, SELECTOR.code3, 0x202, 0x9000, SELECTOR.data3);
  assert.equal(bench.run(0xcf), 'ok');
  assert.deepEqual(
    [cpu.cpl, cpu.selector(CS), cpu.rip, cpu.selector(SS), cpu.reg32(RSP), cpu.rflags],
    [3, SELECTOR.code3, 0x100, SELECTOR.data3, 0x9000, 0x202],
  );
  assert.deepEqual([cpu.accessRights(DS), cpu.accessRights(ES), cpu.accessRights(FS)], [0x10000, 0xc09f, 0xc0f3]);
  assert.equal(cpu.get32(STATE.attention), ATTENTION.interrupt);
});

test('protected mode: to a 16-bit stack only SP is loaded', () => {
  const bench = new Bench('protected');
  bench.descriptor(SELECTOR.free, { type: 0x13, dpl: 3, flags: 0, limit: 0xffff });
  bench.stack(4, 0x100, SELECTOR.code3, 2, 0x12349000, SELECTOR.free | 3);
  const before = bench.cpu.reg32(RSP);
  assert.equal(bench.run(0xcf), 'ok');
  assert.equal(bench.cpu.reg32(RSP), (before & 0xffff0000) + 0x9000);
});

test('64-bit code always pops SS:RSP; a null SS only below level 3', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.stack(8, -0x1000, SELECTOR.code64, 0x202, -0x123456789, 0);
  assert.equal(bench.run(0x48, 0xcf), 'ok');
  assert.deepEqual(
    [cpu.rip, cpu.getSigned(RSP * 8), cpu.selector(SS), cpu.accessRights(SS)],
    [-0x1000, -0x123456789, 0, 0x10000],
  );
  for (const [values, outcome] of [
    [[0x100, SELECTOR.userCode64, 0x202, 0x9000, SELECTOR.data3], 'ok'],
    [[0x100, SELECTOR.userCode64, 0x202, 0x9000, 0], '#GP(0)'],
    [[0x100, SELECTOR.code0, 0x202, 0x9000, 0], '#GP(0)'],
    [[0x100, SELECTOR.code0, 0x202, 0x9000, SELECTOR.data0], 'ok'],
    [[0x100, SELECTOR.userCode64, 0x202, 0x9000, SELECTOR.data0], '#GP(10)'],
    [[0x800000000000, SELECTOR.userCode64, 0x202, 0x9000, SELECTOR.data3], '#GP(0)'],
    [[0x100000000, SELECTOR.code3, 0x202, 0x9000, SELECTOR.data3], '#GP(0)'],
    [[-1, SELECTOR.code3, 0x202, 0x9000, SELECTOR.data3], '#GP(0)'],
    [[0x100, SELECTOR.absent, 0x202, 0x9000, SELECTOR.data0], '#NP(78)'],
    [[0x100, SELECTOR.code64, 0x202, 0x9000, SELECTOR.absentData], '#SS(80)'],
    [[0x100, SELECTOR.data0, 0x202, 0x9000, SELECTOR.data0], '#GP(10)'],
    [[0x100, 0, 0x202, 0x9000, SELECTOR.data0], '#GP(0)'],
  ] as const) {
    const other = new Bench('long');
    other.stack(8, ...values);
    assert.equal(other.run(0x48, 0xcf), outcome, values.join());
    if (outcome !== 'ok')
      assert.deepEqual(
        [other.cpu.rip, other.cpu.cpl, other.cpu.rflags, other.cpu.getSigned(RSP * 8)],
        [AT.code, 0, 2, AT.stack0 + 0x800],
      );
  }
});

test('RSP is loaded whole, canonical or not', () => {
  const bench = new Bench('long');
  bench.stack(8, 0x100, SELECTOR.userCode64, 0x202, 0, SELECTOR.data3);
  bench.poke64(AT.stack0 + 0x800 + 24, 0x1234567890abcdefn);
  assert.equal(bench.run(0x48, 0xcf), 'ok');
  assert.equal(bench.cpu.reg64(RSP), 0x1234567890abcdefn);
});

test('from compatibility code to the same level, and IRETD from 64-bit code', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.level(0, SELECTOR.code0);
  bench.stack(4, 0x100, SELECTOR.code0, 0x202);
  assert.equal(bench.run(0xcf), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg32(RSP)], [0x100, AT.stack0 + 0x80c]);
  const wide = new Bench('long');
  wide.stack(4, 0x100, SELECTOR.code3, 0x202, 0x9000, SELECTOR.data3);
  assert.equal(wide.run(0xcf), 'ok');
  assert.deepEqual(
    [wide.cpu.code64, wide.cpu.cpl, wide.cpu.rip, wide.cpu.getSigned(RSP * 8)],
    [false, 3, 0x100, 0x9000],
  );
});

test('long mode: NT is #GP(0); NMIs are unblocked even so', () => {
  const bench = new Bench('long');
  bench.cpu.rflags = 2 | RFLAGS.NT;
  bench.cpu.set32(STATE.interruptibility, 8);
  assert.equal(bench.run(0x48, 0xcf), '#GP(0)');
  assert.equal(bench.cpu.get32(STATE.interruptibility), 0);
});

test('a page fault on the frame leaves everything', () => {
  const bench = new Bench('long');
  bench.page(AT.stack0, 6);
  assert.equal(bench.run(0x48, 0xcf), '#PF(0)');
  assert.equal(bench.cpu.getSigned(RSP * 8), AT.stack0 + 0x800);
});
