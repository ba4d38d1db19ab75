// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CR4, RFLAGS } from '../register-bits.ts';
import { RAX, RBX, STATE } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';

const LAR = [0x0f, 0x02, 0xc3];
const LSL = [0x0f, 0x03, 0xc3];
const VERR = [0x0f, 0x00, 0xe3];
const VERW = [0x0f, 0x00, 0xeb];

/** Runs with the selector in BX: EAX when ZF was set, else undefined. */
function answer(bench: Bench, bytes: number[], selector: number): number | undefined {
  const { cpu } = bench;
  cpu.setReg32(RBX, selector);
  cpu.setReg32(RAX, 0x55555555);
  cpu.rflags = 2 | RFLAGS.CF | RFLAGS.OF;
  assert.equal(bench.run(...bytes), 'ok');
  assert.equal(cpu.rflags & ~RFLAGS.ZF, 2 | RFLAGS.CF | RFLAGS.OF, 'the other flags stay');
  const zero = (cpu.rflags & RFLAGS.ZF) !== 0;
  if (!zero) assert.equal(cpu.reg32(RAX), 0x55555555);
  return zero ? cpu.reg32(RAX) : undefined;
}

test('LAR: code and data, system types of the mode, privilege', () => {
  const bench = new Bench('protected');
  assert.equal(answer(bench, LAR, SELECTOR.code0), 0xc09b00);
  assert.equal(answer(bench, LAR, SELECTOR.absentData), 0xc01300, 'absent segments too');
  assert.equal(answer(bench, LAR, SELECTOR.tss), 0x8b00);
  assert.equal(answer(bench, LAR, 0), undefined);
  assert.equal(answer(bench, LAR, 0x100), undefined);
  assert.equal(answer(bench, LAR, SELECTOR.code0 | 3), undefined);
  assert.equal(answer(bench, LAR, SELECTOR.conforming | 3), 0xc09e00);
  bench.gate(AT.gdt + SELECTOR.free, 0xe, SELECTOR.code0, 0);
  assert.equal(answer(bench, LAR, SELECTOR.free), undefined);
  bench.gate(AT.gdt + SELECTOR.free, 5, SELECTOR.code0, 0);
  assert.equal(answer(bench, LAR, SELECTOR.free), 0x8500);
  assert.equal(answer(bench, [0x66, ...LAR], SELECTOR.data3), 0x5555f300);
  const long = new Bench('long');
  long.gate(AT.gdt + SELECTOR.free, 5, SELECTOR.code0, 0);
  assert.equal(answer(long, LAR, SELECTOR.free), undefined);
});

test('LSL: the limit in bytes; gates have none', () => {
  const bench = new Bench('protected');
  assert.equal(answer(bench, LSL, SELECTOR.code0), 0xffffffff);
  assert.equal(answer(bench, LSL, SELECTOR.code16), 0xffff);
  assert.equal(answer(bench, LSL, SELECTOR.ldt), 0x3f);
  bench.gate(AT.gdt + SELECTOR.free, 0xc, SELECTOR.code0, 0);
  assert.equal(answer(bench, LSL, SELECTOR.free), undefined);
  bench.level(3);
  assert.equal(answer(bench, LSL, SELECTOR.data0), undefined);
  assert.equal(answer(bench, LSL, SELECTOR.data3), 0xffffffff);
});

test('VERR and VERW', () => {
  const bench = new Bench('protected');
  for (const [selector, readable, writable] of [
    [SELECTOR.data0, true, true],
    [SELECTOR.readOnly, true, false],
    [SELECTOR.code0, true, false],
    [SELECTOR.executeOnly, false, false],
    [SELECTOR.tss, false, false],
    [0, false, false],
    [SELECTOR.data0 | 3, false, false],
  ] as const) {
    assert.equal(answer(bench, VERR, selector) !== undefined, readable, `VERR ${selector.toString(16)}`);
    assert.equal(answer(bench, VERW, selector) !== undefined, writable, `VERW ${selector.toString(16)}`);
  }
});

test('a page fault on the table is a fault of LAR', () => {
  const bench = new Bench('long');
  bench.page(AT.gdt, 6);
  bench.cpu.setReg32(RBX, SELECTOR.code64);
  assert.equal(bench.run(...LAR), '#PF(0)');
});

test('ARPL raises the RPL', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RBX, 0x1231);
  cpu.setReg32(RAX, 3);
  assert.equal(bench.run(0x63, 0xc3), 'ok');
  assert.deepEqual([cpu.reg32(RBX), cpu.rflags & RFLAGS.ZF], [0x1233, RFLAGS.ZF]);
  cpu.setReg32(RAX, 1);
  assert.equal(bench.run(0x63, 0xc3), 'ok');
  assert.deepEqual([cpu.reg32(RBX), cpu.rflags & RFLAGS.ZF], [0x1233, 0]);
});

test('SLDT and STR: widths, and CR4.UMIP at level 3', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RAX, 0xffffffff);
  assert.equal(bench.run(0x0f, 0x00, 0xc8), 'ok');
  assert.equal(cpu.reg32(RAX), SELECTOR.tss);
  bench.poke(AT.data, 4, 0xffffffff);
  assert.equal(bench.run(0x0f, 0x00, 0x05, 0, 0, 2, 0), 'ok');
  assert.equal(bench.peek(AT.data, 4), 0xffff0000);
  bench.level(3);
  assert.equal(bench.run(0x0f, 0x00, 0xc8), 'ok');
  cpu.set32(STATE.cr4, CR4.UMIP);
  assert.equal(bench.run(0x0f, 0x00, 0xc8), '#GP(0)');
});

test('BOUND', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.poke(AT.data, 4, -5);
  bench.poke(AT.data + 4, 4, 7);
  for (const [index, outcome] of [
    [-5, 'ok'],
    [7, 'ok'],
    [8, '#BR'],
    [-6, '#BR'],
  ] as const) {
    cpu.setReg32(RAX, index);
    assert.equal(bench.run(0x62, 0x05, 0, 0, 2, 0), outcome);
  }
});

test('decimal adjustment', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  const cases: [byte: number[], ax: number, flags: number, expected: number, carries: number][] = [
    [[0x27], 0x9a, 0, 0x00, RFLAGS.CF | RFLAGS.AF],
    [[0x27], 0x79, RFLAGS.AF, 0x7f, RFLAGS.AF],
    [[0x27], 0x15, RFLAGS.CF, 0x75, RFLAGS.CF],
    [[0x2f], 0xee, RFLAGS.CF, 0x88, RFLAGS.CF | RFLAGS.AF],
    [[0x2f], 0x05, RFLAGS.AF, 0xff, RFLAGS.CF | RFLAGS.AF],
    [[0x37], 0x00ff, 0, 0x0205, RFLAGS.CF | RFLAGS.AF],
    [[0x37], 0x0109, 0, 0x0109, 0],
    [[0x3f], 0x0200, RFLAGS.AF, 0x000a, RFLAGS.CF | RFLAGS.AF],
    [[0xd4, 10], 0x004f, 0, 0x0709, 0],
    [[0xd5, 10], 0x0709, 0, 0x004f, 0],
  ];
  for (const [bytes, ax, flags, expected, carries] of cases) {
    cpu.setReg32(RAX, ax);
    cpu.rflags = 2 | flags;
    assert.equal(bench.run(...bytes), 'ok');
    assert.deepEqual(
      [cpu.reg16(RAX), cpu.rflags & (RFLAGS.CF | RFLAGS.AF)],
      [expected, carries],
      `${bytes.join()} ${ax.toString(16)}`,
    );
  }
  assert.equal(bench.run(0xd4, 0), '#DE');
});

test('XLAT by address size, with an override', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RBX, AT.data);
  cpu.setReg32(RAX, 0x12345605);
  bench.poke(AT.data + 5, 1, 0xab);
  assert.equal(bench.run(0x2e, 0xd7), 'ok');
  assert.equal(cpu.reg32(RAX), 0x123456ab);
});
