// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CR0, RFLAGS } from '../register-bits.ts';
import { CS, DS, ES, LDTR, RAX, RBX, RSP, SS, STATE, TR } from '../state.ts';
import { raiseException } from './interrupt-delivery.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';
import { switchTask } from './task-switch.ts';
import type { TaskSwitchHooks } from './task-switch.ts';

const far = (opcode: number, selector: number): number[] => [opcode, 0, 0, 0, 0, selector & 0xff, selector >> 8];
const busy = (bench: Bench, selector: number): boolean => (bench.peek(AT.gdt + (selector & 0xfff8) + 5, 1) & 2) !== 0;

/** A bench with a second, 32-bit task at level 0 and a third, 16-bit one. */
function tasks(): Bench {
  const bench = new Bench('protected');
  bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 9, flags: 0 });
  bench.descriptor(SELECTOR.tss16, { base: AT.tss16, limit: 0x2b, type: 1, flags: 0 });
  const t = AT.tss2;
  const values: [number, number][] = [
    [0x20, 0x7000],
    [0x24, 0x202],
    [0x28, 0x11111111],
    [0x34, 0x33333333],
    [0x38, 0x8000],
    [0x48, SELECTOR.data3],
    [0x4c, SELECTOR.code0],
    [0x50, SELECTOR.data0],
    [0x54, SELECTOR.data0],
    [0x58, 0],
    [0x5c, 0],
    [0x60, SELECTOR.ldt],
  ];
  for (const [offset, value] of values) bench.poke(t + offset, 4, value);
  const words: [number, number][] = [
    [0x0e, 0x1234],
    [0x10, 0x0202],
    [0x12, 0x4444],
    [0x1a, 0x9000],
    [0x22, SELECTOR.data0],
    [0x24, SELECTOR.code16],
    [0x26, SELECTOR.data16],
    [0x28, SELECTOR.data16],
    [0x2a, 0],
  ];
  for (const [offset, value] of words) bench.poke(AT.tss16 + offset, 2, value);
  return bench;
}

test('JMP to a TSS: the old state is saved, the new one loaded, the busy bit moves', () => {
  const bench = tasks();
  const { cpu } = bench;
  cpu.setReg32(RAX, 0xaaaaaaaa);
  cpu.rflags = 0x6;
  assert.equal(bench.run(...far(0xea, SELECTOR.tss2)), 'ok');
  assert.deepEqual(
    [cpu.rip, cpu.rflags, cpu.reg32(RAX), cpu.reg32(RBX), cpu.reg32(RSP)],
    [0x7000, 0x202, 0x11111111, 0x33333333, 0x8000],
  );
  assert.deepEqual(
    [CS, SS, DS, ES, LDTR, TR].map((segment) => cpu.selector(segment)),
    [SELECTOR.code0, SELECTOR.data0, SELECTOR.data0, SELECTOR.data3, SELECTOR.ldt, SELECTOR.tss2],
  );
  assert.deepEqual([cpu.segmentBase(LDTR), cpu.segmentBase(TR), cpu.accessRights(TR)], [AT.ldt, AT.tss2, 0x8b]);
  assert.equal(cpu.cr0 & CR0.TS, CR0.TS);
  assert.deepEqual(
    [bench.peek(AT.tss + 0x20, 4), bench.peek(AT.tss + 0x24, 4), bench.peek(AT.tss + 0x28, 4)],
    [AT.code + 7, 6, 0xaaaaaaaa],
  );
  assert.deepEqual(
    [0x48, 0x4c, 0x50].map((offset) => bench.peek(AT.tss + offset, 2)),
    [SELECTOR.data3, SELECTOR.code0, SELECTOR.data0],
  );
  assert.deepEqual([busy(bench, SELECTOR.tss), busy(bench, SELECTOR.tss2)], [false, true]);
});

test('CALL nests: back link, NT, both busy; IRET goes back and clears NT in what it saves', () => {
  const bench = tasks();
  const { cpu } = bench;
  assert.equal(bench.run(...far(0x9a, SELECTOR.tss2)), 'ok');
  assert.equal(cpu.rflags, 0x202 | RFLAGS.NT);
  assert.equal(bench.peek(AT.tss2, 2), SELECTOR.tss);
  assert.deepEqual([busy(bench, SELECTOR.tss), busy(bench, SELECTOR.tss2)], [true, true]);
  assert.equal(bench.run(0xcf), 'ok');
  assert.deepEqual(
    [cpu.rip, cpu.selector(TR), cpu.rflags, cpu.reg32(RSP)],
    [AT.code + 7, SELECTOR.tss, 2, AT.stack0 + 0x800],
  );
  assert.deepEqual([busy(bench, SELECTOR.tss), busy(bench, SELECTOR.tss2)], [true, false]);
  assert.equal(bench.peek(AT.tss2 + 0x24, 4), 0x202);
});

test('to a 16-bit task and back to the 32-bit one', () => {
  const bench = tasks();
  const { cpu } = bench;
  assert.equal(bench.run(...far(0x9a, SELECTOR.tss16)), 'ok');
  assert.deepEqual(
    [cpu.rip, cpu.reg16(RAX), cpu.reg16(RSP), cpu.selector(CS), cpu.accessRights(CS)],
    [0x1234, 0x4444, 0x9000, SELECTOR.code16, 0x9b],
  );
  assert.equal(bench.run(0xcf), 'ok');
  assert.equal(cpu.selector(TR), SELECTOR.tss);
  assert.equal(bench.peek(AT.tss16 + 0x0e, 2), 0x1235);
});

test("a task gate in the IDT: a fault's error code is on the new stack", () => {
  const bench = tasks();
  const { cpu } = bench;
  bench.gate(AT.idt + 13 * 8, 5, SELECTOR.tss2, 0);
  cpu.fault(13, 0x18);
  assert.equal(raiseException(cpu), 'delivered');
  assert.deepEqual([cpu.selector(TR), cpu.rip, cpu.rflags & RFLAGS.NT], [SELECTOR.tss2, 0x7000, RFLAGS.NT]);
  assert.deepEqual([cpu.reg32(RSP), bench.stacked(4, 1)[0]], [0x7ffc, 0x18]);
  assert.equal(bench.peek(AT.tss + 0x20, 4), AT.code);
});

test('a task gate in the GDT', () => {
  const bench = tasks();
  bench.gate(AT.gdt + SELECTOR.free, 5, SELECTOR.tss2, 0, 3);
  bench.level(3);
  assert.equal(bench.run(...far(0xea, SELECTOR.free | 3)), 'ok');
  assert.deepEqual([bench.cpu.selector(TR), bench.cpu.cpl], [SELECTOR.tss2, 0]);
});

test('what stops a switch before it begins', () => {
  const cases: [string, (bench: Bench) => void][] = [
    ['#GP(58)', (bench) => bench.level(3)],
    ['#GP(58)', (bench) => bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 11, flags: 0 })],
    [
      '#NP(58)',
      (bench) => bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x67, type: 9, flags: 0, absent: true }),
    ],
    ['#TS(58)', (bench) => bench.descriptor(SELECTOR.tss2, { base: AT.tss2, limit: 0x66, type: 9, flags: 0 })],
  ];
  for (const [outcome, spoil] of cases) {
    const bench = tasks();
    spoil(bench);
    assert.equal(bench.run(...far(0xea, SELECTOR.tss2)), outcome);
    assert.equal(bench.cpu.selector(TR), SELECTOR.tss);
  }
  const bench = tasks();
  bench.cpu.rflags = 2 | RFLAGS.NT;
  bench.poke(AT.tss, 2, SELECTOR.tss2);
  assert.equal(bench.run(0xcf), '#TS(58)', 'IRET to a task that is not busy');
});

test('faults of the new task are raised in it', () => {
  const cases: [vector: number, code: number, offset: number, selector: number][] = [
    [10, 0x10, 0x4c, SELECTOR.data0],
    [10, 0x20, 0x50, SELECTOR.data3],
    [10, 0, 0x50, 0],
    [12, 0x80, 0x50, SELECTOR.absentData],
    [10, 0x90, 0x54, SELECTOR.executeOnly],
    [11, 0x78, 0x4c, SELECTOR.absent],
    [11, 0x80, 0x48, SELECTOR.absentData],
    [10, 0x10, 0x60, SELECTOR.data0],
  ];
  for (const [vector, code, offset, selector] of cases) {
    const bench = tasks();
    bench.poke(AT.tss2 + offset, 2, selector);
    assert.equal(switchTask(bench.cpu, SELECTOR.tss2, 'jump', -1), true);
    assert.deepEqual([bench.cpu.faultVector, bench.cpu.faultErrorCode], [vector, code], `${offset.toString(16)}`);
    assert.equal(bench.cpu.rip, 0x7000);
    assert.equal(bench.cpu.selector(TR), SELECTOR.tss2);
  }
  const bench = tasks();
  bench.vector(10);
  bench.poke(AT.tss2 + 0x54, 2, SELECTOR.executeOnly);
  assert.equal(bench.run(...far(0xea, SELECTOR.tss2)), 'ok', 'delivered by the instruction itself');
  assert.equal(bench.cpu.rip, bench.handler(10));
  assert.deepEqual(bench.stacked(4, 2), [0x90, 0x7000]);
});

test('the T flag of the new task is a debug trap', () => {
  const bench = tasks();
  bench.vector(1);
  bench.poke(AT.tss2 + 0x64, 2, 1);
  assert.equal(bench.run(...far(0xea, SELECTOR.tss2)), 'ok');
  assert.deepEqual([bench.cpu.rip, bench.cpu.get32(STATE.dr6) & 0x8000], [bench.handler(1), 0x8000]);
  assert.equal(bench.stacked(4, 1)[0], 0x7000);
});

test('a task of virtual-8086 mode', () => {
  const bench = tasks();
  bench.poke(AT.tss2 + 0x24, 4, 0x20202);
  bench.poke(AT.tss2 + 0x4c, 2, 0x1000);
  assert.equal(bench.run(...far(0xea, SELECTOR.tss2)), 'ok');
  const { cpu } = bench;
  assert.deepEqual([cpu.virtual8086, cpu.cpl, cpu.segmentBase(CS), cpu.accessRights(CS)], [true, 3, 0x10000, 0xf3]);
});

test('VMX takes a task switch away before anything changes', () => {
  const bench = tasks();
  const seen: unknown[] = [];
  (bench.cpu as TaskSwitchHooks).interceptTaskSwitch = (...all) => seen.push(all) > 0;
  assert.equal(switchTask(bench.cpu, SELECTOR.tss2, 'call', -1), false);
  assert.deepEqual(seen, [[SELECTOR.tss2, 'call', -1]]);
  assert.deepEqual([bench.cpu.faulted, bench.cpu.faultVector, bench.cpu.selector(TR)], [true, -1, SELECTOR.tss]);
});
