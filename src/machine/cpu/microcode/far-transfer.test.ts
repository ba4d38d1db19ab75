// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CS, DS, ES, RAX, RSP, SS, STATE } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';
import type { BenchMode } from './privilege-bench.test.ts';

const bytes32 = (value: number): number[] => [
  value & 0xff,
  (value >> 8) & 0xff,
  (value >> 16) & 0xff,
  (value >>> 24) & 0xff,
];
const far = (opcode: number, selector: number, offset: number): number[] => [
  opcode,
  ...bytes32(offset),
  selector & 0xff,
  selector >> 8,
];
/** In 64-bit code: through m16:32 or, with REX.W, m16:64 at AT.data. */
function farIndirect(bench: Bench, digit: 3 | 5, selector: number, offset: number, wide = false): number[] {
  if (wide) bench.poke64(AT.data, BigInt(offset));
  else bench.poke(AT.data, 4, offset);
  bench.poke(AT.data + (wide ? 8 : 4), 2, selector);
  return [...(wide ? [0x48] : []), 0xff, (digit << 3) | 4, 0x25, ...bytes32(AT.data)];
}
const GATE = SELECTOR.free;

test('real-address mode: JMP, CALL and RETF far', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  assert.equal(bench.run(0xea, 0x34, 0x12, 0x00, 0x20), 'ok');
  assert.deepEqual([cpu.selector(CS), cpu.segmentBase(CS), cpu.rip], [0x2000, 0x20000, 0x1234]);
  assert.equal(bench.run(0x9a, 0x00, 0x01, 0x00, 0x30), 'ok');
  assert.deepEqual(bench.stacked(2, 2, 0x18000 + cpu.reg16(RSP)), [0x1239, 0x2000]);
  assert.equal(bench.run(0xca, 0x04, 0x00), 'ok');
  assert.deepEqual([cpu.selector(CS), cpu.rip, cpu.reg16(RSP)], [0x2000, 0x1239, 0x804]);
  assert.equal(bench.run(0x66, ...far(0xea, 0x2000, 0x10000)), '#GP(0)', 'beyond the limit');
});

test('from real-address mode into protected mode: CS.D comes from the descriptor', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  cpu.set32(STATE.cr0, 1);
  cpu.modeChanged();
  assert.equal(bench.run(0xea, 0x00, 0x10, SELECTOR.code0, 0x00), 'ok');
  assert.deepEqual(
    [cpu.selector(CS), cpu.segmentBase(CS), cpu.accessRights(CS), cpu.rip],
    [SELECTOR.code0, 0, 0xc09b, 0x1000],
  );
});

test('direct JMP and CALL: error codes', () => {
  const cases: [selector: number, level: 0 | 3, outcome: string, mode: BenchMode][] = [
    [SELECTOR.code0, 0, 'ok', 'protected'],
    [SELECTOR.code0 | 3, 0, '#GP(8)', 'protected'],
    [SELECTOR.code0, 3, '#GP(8)', 'protected'],
    [SELECTOR.code3, 3, 'ok', 'protected'],
    [SELECTOR.conforming, 3, 'ok', 'protected'],
    [0, 0, '#GP(0)', 'protected'],
    [SELECTOR.data0, 0, '#GP(10)', 'protected'],
    [SELECTOR.absent, 0, '#NP(78)', 'protected'],
    [0x104, 0, '#GP(104)', 'protected'],
    [SELECTOR.code16, 0, '#GP(0)', 'protected'],
    [SELECTOR.ldt, 0, '#GP(48)', 'protected'],
    [SELECTOR.code64, 0, 'ok', 'long'],
    [SELECTOR.code0, 0, 'ok', 'long'],
    [SELECTOR.tss, 0, '#GP(38)', 'long'],
    [SELECTOR.free2, 0, '#GP(70)', 'long'],
  ];
  for (const [selector, level, outcome, mode] of cases) {
    for (const call of [false, true]) {
      const bench = new Bench(mode);
      bench.descriptor(SELECTOR.free2, { type: 0x1b, flags: 0xe });
      bench.level(level);
      const before = bench.cpu.getSigned(RSP * 8);
      const code =
        mode === 'long'
          ? farIndirect(bench, call ? 3 : 5, selector, 0x12340)
          : far(call ? 0x9a : 0xea, selector, 0x12340);
      assert.equal(bench.run(...code), outcome, `${mode} ${selector.toString(16)} ${call}`);
      assert.equal(before - bench.cpu.getSigned(RSP * 8), outcome === 'ok' && call ? 8 : 0);
      assert.equal(bench.cpu.rip, outcome === 'ok' ? 0x12340 : AT.code);
    }
  }
});

test('CS gets the RPL of the current level, and keeps it through a conforming segment', () => {
  const bench = new Bench('protected');
  bench.level(3);
  assert.equal(bench.run(...far(0xea, SELECTOR.conforming, 0x100)), 'ok');
  assert.deepEqual([bench.cpu.selector(CS), bench.cpu.cpl], [SELECTOR.conforming | 3, 3]);
});

test('long mode: to compatibility code and back, and a far return with 64-bit operands', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  assert.equal(bench.run(...farIndirect(bench, 3, SELECTOR.code64, -0x7fffffff0000, true)), 'ok');
  assert.equal(cpu.rip, -0x7fffffff0000);
  assert.deepEqual(bench.stacked(8, 2), [AT.code + 8, SELECTOR.code64]);
  assert.equal(bench.run(0x48, 0xcb), 'ok');
  assert.deepEqual([cpu.rip, cpu.getSigned(RSP * 8)], [AT.code + 8, AT.stack0 + 0x800]);
  assert.equal(bench.run(...farIndirect(bench, 5, SELECTOR.code64, 0x800000000000, true)), '#GP(0)');
  assert.equal(bench.run(...farIndirect(bench, 5, SELECTOR.code0, 0x100000000, true)), '#GP(0)');
  assert.equal(bench.run(...farIndirect(bench, 5, SELECTOR.code0, 0x4000)), 'ok');
  assert.equal(cpu.code64, false);
  assert.equal(bench.run(...far(0xea, SELECTOR.code64, 0x5000)), 'ok');
  assert.deepEqual([cpu.code64, cpu.rip], [true, 0x5000]);
});

test('a call gate to an inner level switches stacks and copies parameters; RETF n undoes it', () => {
  for (const [type, size] of [
    [0xc, 4],
    [4, 2],
  ] as const) {
    const bench = new Bench('protected');
    const { cpu } = bench;
    bench.gate(AT.gdt + GATE, type, SELECTOR.code0, 0x5678, 3, 2);
    bench.level(3);
    bench.stack(size, 0x1111, 0x2222);
    assert.equal(bench.run(...far(0x9a, GATE | 3, 0xdeadbeef)), 'ok');
    assert.deepEqual(
      [cpu.cpl, cpu.selector(CS), cpu.rip, cpu.selector(SS)],
      [0, SELECTOR.code0, 0x5678, SELECTOR.data0],
    );
    assert.deepEqual(bench.stacked(size, 6), [
      (AT.code + 7) & (size === 2 ? 0xffff : -1),
      SELECTOR.code3,
      0x1111,
      0x2222,
      (AT.stack3 + 0x800) & (size === 2 ? 0xffff : -1),
      SELECTOR.data3,
    ]);
    if (size === 2) continue;
    cpu.setSegment(DS, SELECTOR.data0, 0, 0xffffffff, 0xc093);
    assert.equal(bench.run(0xca, size * 2, 0), 'ok');
    assert.deepEqual(
      [cpu.cpl, cpu.selector(CS), cpu.rip, cpu.selector(SS), cpu.reg32(RSP)],
      [3, SELECTOR.code3, AT.code + 7, SELECTOR.data3, AT.stack3 + 0x808],
    );
    assert.deepEqual(
      [cpu.accessRights(DS), cpu.selector(DS), cpu.selector(ES)],
      [0x10000, 0, SELECTOR.data3],
      'what level 3 may not use is taken away',
    );
  }
});

test('call gates: error codes', () => {
  const cases: [outcome: string, spoil: (bench: Bench) => void][] = [
    ['#GP(68)', (bench) => bench.gate(AT.gdt + GATE, 0xc, SELECTOR.code0, 0x100, 2)],
    ['#NP(68)', (bench) => bench.poke(AT.gdt + GATE + 5, 1, 0x6c)],
    ['#GP(0)', (bench) => bench.gate(AT.gdt + GATE, 0xc, 0, 0x100, 3)],
    ['#GP(10)', (bench) => bench.gate(AT.gdt + GATE, 0xc, SELECTOR.data0, 0x100, 3)],
    ['#NP(78)', (bench) => bench.gate(AT.gdt + GATE, 0xc, SELECTOR.absent, 0x100, 3)],
    ['#TS(0)', (bench) => bench.poke(AT.tss + 8, 4, 0)],
    ['#TS(20)', (bench) => bench.poke(AT.tss + 8, 4, SELECTOR.data3)],
    ['#SS(80)', (bench) => bench.poke(AT.tss + 8, 4, SELECTOR.absentData)],
    ['#GP(0)', (bench) => bench.descriptor(SELECTOR.code0, { type: 0x1b, limit: 0xff, flags: 4 })],
    ['#GP(68)', (bench) => bench.descriptor(GATE, { type: 0xe, dpl: 3 })],
  ];
  for (const [outcome, spoil] of cases) {
    const bench = new Bench('protected');
    bench.gate(AT.gdt + GATE, 0xc, SELECTOR.code0, 0x100, 3);
    bench.level(3);
    spoil(bench);
    assert.equal(bench.run(...far(0x9a, GATE | 3, 0)), outcome, spoil.toString());
    assert.deepEqual([bench.cpu.cpl, bench.cpu.reg32(RSP)], [3, AT.stack3 + 0x800]);
  }
  const bench = new Bench('protected');
  bench.gate(AT.gdt + GATE, 0xc, SELECTOR.code0, 0x100, 3);
  bench.level(3);
  assert.equal(bench.run(...far(0xea, GATE | 3, 0)), '#GP(8)', 'JMP does not change the level');
});

test('a 64-bit call gate: 16 bytes, RSP0, a null SS', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.gate(AT.gdt + GATE, 0xc, SELECTOR.code64, 0x1234, 3);
  bench.poke64(AT.gdt + GATE + 8, 0xffffff80n);
  bench.level(3);
  assert.equal(bench.run(...farIndirect(bench, 3, GATE | 3, 0)), 'ok');
  assert.deepEqual([cpu.cpl, cpu.selector(SS), cpu.accessRights(SS), cpu.rip], [0, 0, 0x10000, -0x8000000000 + 0x1234]);
  assert.deepEqual(bench.stacked(8, 4), [AT.code + 7, SELECTOR.userCode64, AT.stack3 + 0x800, SELECTOR.data3]);
  assert.equal(bench.run(0x48, 0xcb), 'ok');
  assert.deepEqual([cpu.cpl, cpu.selector(SS), cpu.getSigned(RSP * 8)], [3, SELECTOR.data3, AT.stack3 + 0x800]);
  bench.gate(AT.gdt + GATE, 0xc, SELECTOR.code0, 0x1234, 3);
  assert.equal(bench.run(...farIndirect(bench, 3, GATE | 3, 0)), '#GP(8)', 'the target must be 64-bit code');
  bench.poke64(AT.gdt + GATE + 8, 0x1f00_00000000n);
  assert.equal(bench.run(...farIndirect(bench, 3, GATE | 3, 0)), '#GP(68)');
});

test('RETF: error codes', () => {
  const cases: [selector: number, level: 0 | 3, outcome: string][] = [
    [0, 0, '#GP(0)'],
    [SELECTOR.data0, 0, '#GP(10)'],
    [SELECTOR.code0, 3, '#GP(8)'],
    [SELECTOR.code0 | 3, 0, '#GP(8)'],
    [SELECTOR.absent, 0, '#NP(78)'],
    [0x108, 0, '#GP(108)'],
    [SELECTOR.conforming | 3, 3, 'ok'],
    [SELECTOR.code16, 0, '#GP(0)'],
  ];
  for (const [selector, level, outcome] of cases) {
    const bench = new Bench('protected');
    bench.level(level);
    bench.stack(4, 0x12340, selector);
    assert.equal(bench.run(0xcb), outcome, selector.toString(16));
  }
  for (const [stack, outcome] of [
    [SELECTOR.data3, 'ok'],
    [0, '#GP(0)'],
    [SELECTOR.data0, '#GP(10)'],
    [SELECTOR.data0 | 3, '#GP(10)'],
    [SELECTOR.absentData | 3, '#GP(80)'],
    [0x103, '#GP(100)'],
  ] as const) {
    const bench = new Bench('protected');
    bench.stack(4, 0x100, SELECTOR.code3, 0x9000, stack);
    assert.equal(bench.run(0xcb), outcome, stack.toString(16));
  }
});

test('a far pointer beyond the segment faults before anything changes', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(DS, SELECTOR.data0, 0, AT.data + 4, 0x4093);
  cpu.setReg32(RAX, AT.data);
  assert.equal(bench.run(0xff, 0x28), '#GP(0)');
  cpu.setSegment(DS, SELECTOR.data0, 0, AT.data + 5, 0x4093);
  bench.poke(AT.data, 4, 0x100);
  bench.poke(AT.data + 4, 2, SELECTOR.code0);
  assert.equal(bench.run(0xff, 0x28), 'ok');
  assert.equal(cpu.rip, 0x100);
});
