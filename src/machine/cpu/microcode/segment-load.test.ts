// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CR4, RFLAGS } from '../register-bits.ts';
import { ATTENTION, CS, DS, ES, FS, GS, LDTR, RAX, RSP, SS, STATE, TR } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';
import type { BenchMode } from './privilege-bench.test.ts';

const MOV_DS_AX = [0x8e, 0xd8];
const MOV_SS_AX = [0x8e, 0xd0];
const MOV_FS_AX = [0x8e, 0xe0];

function load(bench: Bench, bytes: number[], selector: number): string {
  bench.cpu.setReg32(RAX, selector);
  return bench.run(...bytes);
}

test('real-address mode: only base and selector change, so a large limit stays', () => {
  const bench = new Bench('real');
  bench.cpu.setSegment(DS, 0, 0, 0xffffffff, 0xc093);
  assert.equal(load(bench, MOV_DS_AX, 0x1234), 'ok');
  assert.deepEqual(
    [bench.cpu.segmentBase(DS), bench.cpu.segmentLimit(DS), bench.cpu.selector(DS)],
    [0x12340, 0xffffffff, 0x1234],
  );
});

test('a data segment: base, limit, rights; the accessed bit in the table', () => {
  const bench = new Bench('protected');
  bench.descriptor(SELECTOR.free, { base: 0x12345678, limit: 0x1234, type: 0x12, dpl: 2, flags: 5 });
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.free), 'ok');
  const { cpu } = bench;
  assert.deepEqual(
    [cpu.selector(DS), cpu.segmentBase(DS), cpu.segmentLimit(DS), cpu.accessRights(DS)],
    [SELECTOR.free, 0x12345678, 0x1234, 0x50d3],
  );
  assert.equal(bench.peek(AT.gdt + SELECTOR.free + 5, 1), 0xd3);
});

test('data segments: error codes at level 0 and 3', () => {
  const cases: [selector: number, level: 0 | 3, outcome: string][] = [
    [0, 0, 'ok'],
    [3, 3, 'ok'],
    [SELECTOR.data0, 0, 'ok'],
    [SELECTOR.data0 | 1, 0, '#GP(10)'],
    [SELECTOR.data0, 3, '#GP(10)'],
    [SELECTOR.data3, 3, 'ok'],
    [SELECTOR.readOnly, 0, 'ok'],
    [SELECTOR.executeOnly, 0, '#GP(90)'],
    [SELECTOR.code0, 0, 'ok'],
    [SELECTOR.code0, 3, '#GP(8)'],
    [SELECTOR.conforming | 3, 3, 'ok'],
    [SELECTOR.absentData, 0, '#NP(80)'],
    [SELECTOR.tss, 0, '#GP(38)'],
    [0xfc, 0, '#GP(fc)'],
    [0x100, 0, '#GP(100)'],
    [0x4 | 3, 3, '#GP(4)'],
  ];
  for (const mode of ['protected', 'long'] as const) {
    for (const [selector, level, outcome] of cases) {
      const bench = new Bench(mode);
      bench.level(level);
      assert.equal(load(bench, MOV_DS_AX, selector), outcome, `${mode} ${selector.toString(16)} at level ${level}`);
    }
  }
});

test('the stack segment: writable data of exactly this level; null in 64-bit code below level 3', () => {
  const cases: [selector: number, level: 0 | 3, mode: BenchMode, outcome: string][] = [
    [SELECTOR.data0, 0, 'protected', 'ok'],
    [SELECTOR.data0 | 3, 0, 'protected', '#GP(10)'],
    [SELECTOR.data3, 0, 'protected', '#GP(20)'],
    [SELECTOR.data3, 3, 'long', 'ok'],
    [SELECTOR.readOnly, 0, 'protected', '#GP(88)'],
    [SELECTOR.code0, 0, 'protected', '#GP(8)'],
    [SELECTOR.absentData, 0, 'protected', '#SS(80)'],
    [0, 0, 'protected', '#GP(0)'],
    [0, 0, 'long', 'ok'],
    [1, 0, 'long', '#GP(0)'],
    [3, 3, 'long', '#GP(0)'],
  ];
  for (const [selector, level, mode, outcome] of cases) {
    const bench = new Bench(mode);
    bench.level(level);
    assert.equal(load(bench, MOV_SS_AX, selector), outcome, `${mode} ${selector.toString(16)} at level ${level}`);
    assert.equal(bench.cpu.get32(STATE.interruptibility), outcome === 'ok' ? 2 : 0);
    assert.equal(bench.cpu.get32(STATE.attention) & ATTENTION.shadow, outcome === 'ok' ? ATTENTION.shadow : 0);
  }
});

test('a null selector clears the base of FS and makes it unusable', () => {
  const bench = new Bench('long');
  bench.cpu.setSegment(FS, 0x23, 0x123456789a, 0xffffffff, 0xc0f3);
  assert.equal(load(bench, MOV_FS_AX, 0), 'ok');
  assert.deepEqual([bench.cpu.segmentBase(FS), bench.cpu.accessRights(FS)], [0, 0x10000]);
});

test('descriptors of the LDT, which must be usable', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.descriptor(8, { base: 0x5000, type: 0x12 }, AT.ldt);
  cpu.setReg32(RAX, SELECTOR.ldt);
  assert.equal(load(bench, MOV_DS_AX, 8 | 4), '#GP(c)');
  assert.equal(load(bench, [0x0f, 0x00, 0xd0], SELECTOR.ldt), 'ok');
  assert.deepEqual([cpu.segmentBase(LDTR), cpu.segmentLimit(LDTR), cpu.accessRights(LDTR)], [AT.ldt, 0x3f, 0x82]);
  assert.equal(load(bench, MOV_DS_AX, 8 | 4), 'ok');
  assert.equal(cpu.segmentBase(DS), 0x5000);
  assert.equal(load(bench, MOV_DS_AX, 0x40 | 4), '#GP(44)');
  assert.equal(load(bench, [0x0f, 0x00, 0xd0], 0), 'ok');
  assert.equal(cpu.accessRights(LDTR) & 0x10000, 0x10000);
});

test('LLDT and LTR: error codes', () => {
  const LLDT = [0x0f, 0x00, 0xd0];
  const LTR = [0x0f, 0x00, 0xd8];
  for (const [bytes, selector, outcome] of [
    [LLDT, 4, '#GP(4)'],
    [LLDT, SELECTOR.data0, '#GP(10)'],
    [LLDT, 0x100, '#GP(100)'],
    [LTR, 0, '#GP(0)'],
    [LTR, SELECTOR.tss2 | 4, '#GP(5c)'],
    [LTR, SELECTOR.data0, '#GP(10)'],
    [LTR, SELECTOR.tss, '#GP(38)'],
  ] as const) {
    const bench = new Bench('protected');
    assert.equal(load(bench, [...bytes], selector), outcome);
  }
  const bench = new Bench('protected');
  bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 9, flags: 0, absent: true });
  assert.equal(load(bench, LTR, SELECTOR.tss2), '#NP(58)');
  bench.descriptor(SELECTOR.ldt, { type: 2, absent: true });
  assert.equal(load(bench, LLDT, SELECTOR.ldt), '#NP(48)');
});

test('LTR in long mode reads 16 bytes and sets the busy bit; the base must be canonical', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 9, flags: 0 });
  bench.poke64(AT.gdt + SELECTOR.tss2 + 8, 0xffff8000n);
  assert.equal(load(bench, [0x0f, 0x00, 0xd8], SELECTOR.tss2), 'ok');
  assert.deepEqual([cpu.segmentBase(TR), cpu.accessRights(TR)], [-0x800000000000 + AT.tss2, 0x8b]);
  assert.equal(bench.peek(AT.gdt + SELECTOR.tss2 + 5, 1), 0x8b);
  bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 9, flags: 0 });
  bench.poke64(AT.gdt + SELECTOR.tss2 + 8, 0x8000n);
  assert.equal(load(bench, [0x0f, 0x00, 0xd8], SELECTOR.tss2), '#GP(58)');
  bench.poke64(AT.gdt + SELECTOR.tss2 + 8, 0x100_00000000n);
  assert.equal(load(bench, [0x0f, 0x00, 0xd8], SELECTOR.tss2), '#GP(58)', 'the upper type field must be 0');
});

test('descriptor tables are read with supervisor rights at level 3; a page fault says so', () => {
  const bench = new Bench('long');
  bench.level(3);
  bench.page(AT.gdt, 3);
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.data3), 'ok');
  bench.page(AT.gdt, 2);
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.data3), '#PF(0)');
});

test('SMAP holds for descriptor tables whatever RFLAGS.AC is', () => {
  const bench = new Bench('long');
  bench.cpu.set32(STATE.cr4, CR4.PAE | CR4.SMAP);
  bench.cpu.mmu.pagingChanged();
  bench.cpu.rflags = 2 | RFLAGS.AC;
  bench.cpu.modeChanged();
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.data3), '#PF(1)');
  bench.page(AT.gdt, 3);
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.data3), 'ok');
});

test('setting the accessed bit in a read-only page faults, and leaves the register', () => {
  const bench = new Bench('long');
  bench.descriptor(SELECTOR.free, { base: 0x1000, type: 0x12 });
  bench.page(AT.gdt, 1);
  assert.equal(load(bench, MOV_DS_AX, SELECTOR.free), '#PF(3)');
  assert.equal(bench.cpu.selector(DS), SELECTOR.data3);
});

test('PUSH and POP of segment registers, by operand size', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.poke(AT.stack0 + 0x7fc, 4, 0xaaaaaaaa);
  assert.equal(bench.run(0x1e), 'ok');
  assert.deepEqual(bench.stacked(4, 1), [0xaaaa0000 + SELECTOR.data3], 'a 16-bit move');
  assert.equal(bench.run(0x07), 'ok');
  assert.deepEqual([cpu.selector(ES), cpu.reg32(RSP)], [SELECTOR.data3, AT.stack0 + 0x800]);
  assert.equal(bench.run(0x66, 0x0e), 'ok');
  assert.deepEqual([bench.stacked(2, 1)[0], cpu.reg32(RSP)], [SELECTOR.code0, AT.stack0 + 0x7fe]);
  assert.equal(bench.run(0x17), '#GP(8)', 'the selector of CS just pushed');
  bench.stack(4, SELECTOR.data16);
  assert.equal(bench.run(0x17), 'ok');
  assert.equal(cpu.reg32(RSP), AT.stack0 + 0x802, 'ESP moved as wide as the old stack');
  assert.equal(cpu.accessRights(SS), 0x93);
});

test('PUSH and POP of FS in 64-bit code', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  assert.equal(bench.run(0x0f, 0xa0), 'ok');
  assert.deepEqual(bench.stacked(8, 1), [SELECTOR.data3]);
  assert.equal(bench.run(0x0f, 0xa9), 'ok');
  assert.deepEqual([cpu.selector(GS), cpu.getSigned(RSP * 8)], [SELECTOR.data3, AT.stack0 + 0x800]);
});

test('LDS, LES, LSS, LFS: pointer first, then selector; nothing changes when either fails', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(DS, SELECTOR.data0, 0, 0xffffffff, 0xc093);
  bench.poke(AT.data, 4, 0x12345678);
  bench.poke(AT.data + 4, 2, SELECTOR.code3);
  assert.equal(bench.run(0xc4, 0x05, 0x00, 0x00, 0x02, 0x00), 'ok');
  assert.deepEqual([cpu.reg32(RAX), cpu.selector(ES)], [0x12345678, SELECTOR.code3]);
  bench.poke(AT.data + 4, 2, SELECTOR.executeOnly);
  cpu.setReg32(RAX, 1);
  assert.equal(bench.run(0xc5, 0x05, 0x00, 0x00, 0x02, 0x00), '#GP(90)');
  assert.deepEqual([cpu.reg32(RAX), cpu.selector(DS)], [1, SELECTOR.data0]);
});

test('MOV from a segment register: zero-extended to a register, 16 bits to memory', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RAX, 0xffffffff);
  assert.equal(bench.run(0x8c, 0xc8), 'ok');
  assert.equal(cpu.reg32(RAX), SELECTOR.code0);
  cpu.setReg32(RAX, 0xffffffff);
  assert.equal(bench.run(0x66, 0x8c, 0xc8), 'ok');
  assert.equal(cpu.reg32(RAX), 0xffff0000 + SELECTOR.code0);
  bench.poke(AT.data, 4, 0xffffffff);
  assert.equal(bench.run(0x8c, 0x0d, 0x00, 0x00, 0x02, 0x00), 'ok');
  assert.equal(bench.peek(AT.data, 4), 0xffff0000 + SELECTOR.code0);
  assert.equal(cpu.selector(CS), SELECTOR.code0);
});
