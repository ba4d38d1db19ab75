// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CR0, RFLAGS } from '../register-bits.ts';
import { ATTENTION, RAX, RBP, RBX, RCX, RDI, RSP, SS, STATE } from '../state.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';

test('PUSH and POP of registers and immediates by operand size and stack size', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RAX, 0x12345678);
  assert.equal(bench.run(0x50), 'ok');
  assert.equal(bench.run(0x66, 0x50), 'ok');
  assert.equal(bench.run(0x6a, 0xff), 'ok');
  assert.equal(bench.run(0x66, 0x6a, 0xfe), 'ok');
  assert.equal(bench.run(0x68, 1, 2, 3, 4), 'ok');
  assert.equal(cpu.reg32(RSP), AT.stack0 + 0x800 - 16);
  assert.deepEqual(bench.stacked(2, 8), [0x0201, 0x0403, 0xfffe, 0xffff, 0xffff, 0x5678, 0x5678, 0x1234]);
  assert.equal(bench.run(0x5b), 'ok');
  assert.equal(bench.run(0x66, 0x5b), 'ok');
  assert.equal(cpu.reg32(RBX), 0x0403fffe);
  cpu.setSegment(SS, SELECTOR.data16, 0x100, 0xffff, 0x93);
  cpu.modeChanged();
  cpu.setReg32(RSP, 0xabcd0002);
  assert.equal(bench.run(0x50), '#SS(0)', 'four bytes do not fit at fffe');
  assert.equal(bench.run(0x66, 0x50), 'ok');
  assert.equal(bench.run(0x66, 0x50), 'ok');
  assert.equal(cpu.reg32(RSP), 0xabcdfffe);
});

test('PUSH rSP pushes the old value, POP rSP wins over the increment', () => {
  const bench = new Bench('protected');
  assert.equal(bench.run(0x54), 'ok');
  assert.deepEqual(bench.stacked(4, 1), [AT.stack0 + 0x800]);
  bench.stack(4, 0x1234);
  assert.equal(bench.run(0x5c), 'ok');
  assert.equal(bench.cpu.reg32(RSP), 0x1234);
});

test('POP to memory makes the address with the incremented rSP, and undoes it in a fault', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.poke64(AT.stack0 + 0x800, 0x1122334455667788n);
  assert.equal(bench.run(0x8f, 0x44, 0x24, 0x10), 'ok');
  assert.equal(bench.peek64(AT.stack0 + 0x818), 0x1122334455667788n);
  assert.equal(cpu.getSigned(RSP * 8), AT.stack0 + 0x808);
  bench.page(AT.data, 5);
  assert.equal(bench.run(0x8f, 0x04, 0x25, 0, 0, 2, 0), '#PF(3)');
  assert.equal(cpu.getSigned(RSP * 8), AT.stack0 + 0x808);
});

test('an expand-down stack has its room above the limit', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(SS, SELECTOR.free, 0, AT.stack0 - 1, 0x4097);
  cpu.modeChanged();
  cpu.setReg32(RSP, AT.stack0 + 4);
  assert.equal(bench.run(0x50), 'ok');
  assert.equal(bench.run(0x50), '#SS(0)');
  assert.equal(cpu.reg32(RSP), AT.stack0);
});

test('PUSHA and POPA skip rSP', () => {
  for (const [bytes, size] of [
    [[], 4],
    [[0x66], 2],
  ] as const) {
    const bench = new Bench('protected');
    const { cpu } = bench;
    for (let i = 0; i < 8; i++) if (i !== RSP) cpu.setReg32(i, 0x11110000 + i);
    assert.equal(bench.run(...bytes, 0x60), 'ok');
    const mask = size === 2 ? 0xffff : -1;
    assert.deepEqual(
      bench.stacked(size, 8),
      [7, 6, 5, 0, 3, 2, 1, 0].map((i, n) => ((n === 3 ? AT.stack0 + 0x800 : 0x11110000 + i) & mask) >>> 0),
    );
    bench.stack(size, 10, 11, 12, 13, 14, 15, 16, 17);
    assert.equal(bench.run(...bytes, 0x61), 'ok');
    const kept = size === 2 ? 0x11110000 : 0;
    assert.deepEqual(
      [RDI, RBP, RBX, RCX, RAX].map((i) => cpu.reg32(i)),
      [kept + 10, kept + 12, kept + 14, kept + 16, kept + 17],
    );
    assert.equal(cpu.reg32(RSP), AT.stack0 + 0x800);
  }
});

test('POPF: what each level may change; PUSHF hides VM and RF', () => {
  const cases: [level: 0 | 3, iopl: number, size: 2 | 4, expected: number][] = [
    [0, 0, 4, 0x247fd7],
    [0, 0, 2, 0x7fd7],
    [3, 0, 4, 0x244dd7],
    [3, 3, 4, 0x247fd7],
    [3, 3, 2, 0x7fd7],
  ];
  for (const [level, iopl, size, expected] of cases) {
    const bench = new Bench('protected');
    bench.level(level);
    bench.cpu.rflags = 2 | (iopl << 12);
    bench.stack(size, 0x3fffff);
    assert.equal(bench.run(...(size === 2 ? [0x66, 0x9d] : [0x9d])), 'ok');
    assert.equal(bench.cpu.rflags, expected, `level ${level} IOPL ${iopl} size ${size}`);
  }
  const bench = new Bench('long');
  bench.cpu.rflags = 0x202 | RFLAGS.RF | RFLAGS.AC;
  assert.equal(bench.run(0x9c), 'ok');
  assert.deepEqual(bench.stacked(8, 1), [0x202 | RFLAGS.AC]);
});

test('PUSHF in 64-bit code: across pages, and what can be wrong with the stack', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  const flags = 0x202 | RFLAGS.AC;
  cpu.rflags = flags;
  cpu.setSigned(RSP * 8, AT.stack0 + 4);
  assert.equal(bench.run(0x9c), 'ok');
  assert.equal(cpu.getSigned(RSP * 8), AT.stack0 - 4);
  assert.equal(bench.peek64(AT.stack0 - 4), BigInt(flags));
  const faults = (rsp: number, outcome: string): void => {
    cpu.setSigned(RSP * 8, rsp);
    assert.equal(bench.run(0x9c), outcome);
    assert.equal(cpu.getSigned(RSP * 8), rsp);
  };
  for (const rsp of [-(2 ** 47) + 4, 2 ** 47 + 8, -(2 ** 47)]) faults(rsp, '#SS(0)');
  bench.page(AT.stack0, 1);
  faults(AT.stack0 + 0x800, '#PF(3)');
  bench.page(AT.stack0, 7);
  bench.level(3);
  cpu.set32(STATE.cr0, cpu.cr0 | CR0.AM);
  cpu.rflags = flags;
  cpu.modeChanged();
  faults(AT.stack0 + 0x804, '#AC(0)');
});

test('POPF asks for attention when IF or TF are set, and only then', () => {
  for (const [image, attention] of [
    [0x202, ATTENTION.interrupt],
    [0x102, ATTENTION.debug],
    [0x402, 0],
  ] as const) {
    const bench = new Bench('long');
    bench.stack(8, image);
    assert.equal(bench.run(0x9d), 'ok');
    assert.equal(bench.cpu.get32(STATE.attention), attention);
  }
});

test('ENTER and LEAVE, with nesting', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setReg32(RBP, AT.stack0 + 0x900);
  bench.poke(AT.stack0 + 0x8fc, 4, 0xaaaa);
  bench.poke(AT.stack0 + 0x8f8, 4, 0xbbbb);
  assert.equal(bench.run(0xc8, 0x10, 0x00, 0x03), 'ok');
  const top = AT.stack0 + 0x7fc;
  assert.deepEqual([cpu.reg32(RBP), cpu.reg32(RSP)], [top, top - 12 - 0x10]);
  assert.deepEqual(bench.stacked(4, 4, top - 12), [top, 0xbbbb, 0xaaaa, AT.stack0 + 0x900]);
  assert.equal(bench.run(0xc9), 'ok');
  assert.deepEqual([cpu.reg32(RBP), cpu.reg32(RSP)], [AT.stack0 + 0x900, AT.stack0 + 0x800]);
});

test('ENTER in 64-bit code keeps all of RBP', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  cpu.setReg64(RBP, 0x1234567890abcdefn);
  assert.equal(bench.run(0xc8, 0x08, 0x00, 0x00), 'ok');
  assert.equal(bench.peek64(AT.stack0 + 0x7f8), 0x1234567890abcdefn);
  assert.deepEqual([cpu.getSigned(RBP * 8), cpu.getSigned(RSP * 8)], [AT.stack0 + 0x7f8, AT.stack0 + 0x7f0]);
  cpu.setSigned(RSP * 8, AT.stack0 + 0x10);
  bench.page(AT.stack0 - 0x1000, 5);
  assert.equal(bench.run(0xc8, 0x08, 0x02, 0x00), '#PF(3)', 'the new top is probed');
  assert.equal(cpu.getSigned(RSP * 8), AT.stack0 + 0x10);
});

test('#AC for a misaligned stack at level 3 with AM and AC', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.level(3);
  cpu.set32(STATE.cr0, cpu.cr0 | CR0.AM);
  cpu.rflags = 2 | RFLAGS.AC;
  cpu.modeChanged();
  assert.equal(bench.run(0x50), 'ok');
  cpu.setReg32(RSP, AT.stack3 + 0x7fe);
  assert.equal(bench.run(0x50), '#AC(0)');
  assert.equal(bench.run(0x58), '#AC(0)');
  assert.equal(bench.run(0x66, 0x58), 'ok');
});

test('a non-canonical stack is #SS(0)', () => {
  const bench = new Bench('long');
  bench.cpu.setSigned(RSP * 8, 0x800000000004);
  assert.equal(bench.run(0x66, 0x50), '#SS(0)');
  assert.equal(bench.run(0x0f, 0xa1), '#SS(0)');
});
