// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { EFER, RFLAGS } from '../register-bits.ts';
import { ATTENTION, CS, GS, RCX, RDX, RSP, SS, STATE } from '../state.ts';
import { Bench } from './privilege-bench.test.ts';

const R11 = 11;
const SYSCALL = [0x0f, 0x05];
const SYSRET = [0x0f, 0x07];
const SYSRETQ = [0x48, ...SYSRET];
const SYSENTER = [0x0f, 0x34];
const SYSEXIT = [0x0f, 0x35];

function prepared(level: 0 | 3): Bench {
  const bench = new Bench('long');
  const { cpu } = bench;
  cpu.set64(STATE.star, 0x0023_0010_00000000n);
  cpu.setSigned(STATE.lstar, -0x7f0000001000);
  cpu.set64(STATE.fmask, 0x47700n);
  cpu.set64(STATE.sysenterCs, 0x60n);
  cpu.setSigned(STATE.sysenterEip, -0x1000);
  cpu.setSigned(STATE.sysenterEsp, -0x2000);
  bench.level(level);
  return bench;
}

test('SYSCALL: RCX, R11, LSTAR, FMASK and the flat segments', () => {
  const bench = prepared(3);
  const { cpu } = bench;
  cpu.rip = 0x7fff12345000;
  cpu.rflags = 0x40a03;
  assert.equal(bench.run(...SYSCALL), 'ok');
  assert.deepEqual(
    [cpu.getSigned(RCX * 8), cpu.reg64(R11), cpu.rip, cpu.rflags, cpu.cpl],
    [0x7fff12345002, 0x40a03n, -0x7f0000001000, 0x803, 0],
  );
  assert.deepEqual(
    [cpu.selector(CS), cpu.accessRights(CS), cpu.selector(SS), cpu.accessRights(SS)],
    [0x10, 0xa09b, 0x18, 0xc093],
  );
  assert.deepEqual([cpu.segmentLimit(CS), cpu.segmentBase(CS), cpu.code64], [0xffffffff, 0, true]);
});

test('SYSRET to 64-bit and to compatibility code', () => {
  for (const wide of [true, false]) {
    const bench = prepared(0);
    const { cpu } = bench;
    cpu.setSigned(RCX * 8, 0x7fff12345678);
    cpu.setReg32(R11, 0xffffffff);
    assert.equal(bench.run(...(wide ? SYSRETQ : SYSRET)), 'ok');
    assert.deepEqual(
      [cpu.rip, cpu.cpl, cpu.selector(SS), cpu.accessRights(SS)],
      [wide ? 0x7fff12345678 : 0x12345678, 3, 0x2b, 0xc0f3],
    );
    assert.deepEqual(
      [cpu.selector(CS), cpu.accessRights(CS), cpu.code64],
      wide ? [0x33, 0xa0fb, true] : [0x23, 0xc0fb, false],
    );
    assert.equal(cpu.rflags, 0x3c7fd7);
    assert.equal(cpu.get32(STATE.attention), ATTENTION.interrupt | ATTENTION.debug);
  }
});

test('SYSCALL and SYSRET: faults', () => {
  let bench = prepared(3);
  assert.equal(bench.run(...SYSRETQ), '#GP(0)');
  bench.cpu.set32(STATE.efer, EFER.LME | EFER.LMA);
  assert.equal(bench.run(...SYSCALL), '#UD');
  bench = prepared(0);
  bench.cpu.setSigned(RCX * 8, 0x800000000000);
  assert.equal(bench.run(...SYSRETQ), '#GP(0)');
  assert.equal(bench.cpu.cpl, 0);
});

test('SYSENTER from 64-bit and compatibility code, SYSEXIT to both', () => {
  const bench = prepared(3);
  const { cpu } = bench;
  cpu.rflags = 0x202;
  assert.equal(bench.run(...SYSENTER), 'ok');
  assert.deepEqual([cpu.rip, cpu.getSigned(RSP * 8), cpu.rflags, cpu.cpl], [-0x1000, -0x2000, 2, 0]);
  assert.deepEqual(
    [cpu.selector(CS), cpu.accessRights(CS), cpu.selector(SS), cpu.accessRights(SS)],
    [0x60, 0xa09b, 0x68, 0xc093],
  );
  cpu.setSigned(RCX * 8, 0x5_00001000);
  cpu.setSigned(RDX * 8, 0x5_00002000);
  assert.equal(bench.run(0x48, ...SYSEXIT), 'ok');
  assert.deepEqual(
    [cpu.rip, cpu.getSigned(RSP * 8), cpu.selector(CS), cpu.accessRights(CS), cpu.selector(SS)],
    [0x5_00002000, 0x5_00001000, 0x83, 0xa0fb, 0x8b],
  );
  const narrow = prepared(0);
  narrow.cpu.setSigned(RCX * 8, 0x5_00001000);
  narrow.cpu.setSigned(RDX * 8, 0x5_00002000);
  assert.equal(narrow.run(...SYSEXIT), 'ok');
  assert.deepEqual(
    [narrow.cpu.rip, narrow.cpu.reg64(RSP), narrow.cpu.selector(CS), narrow.cpu.selector(SS), narrow.cpu.code64],
    [0x2000, 0x1000n, 0x73, 0x7b, false],
  );
});

test('SYSENTER in protected mode takes 32 bits; without a selector #GP(0), as in real-address mode', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.set64(STATE.sysenterCs, 8n);
  cpu.set64(STATE.sysenterEip, 0x5_00001000n);
  cpu.set64(STATE.sysenterEsp, 0x5_00002000n);
  bench.level(3);
  assert.equal(bench.run(...SYSENTER), 'ok');
  assert.deepEqual([cpu.rip, cpu.reg64(RSP), cpu.accessRights(CS)], [0x1000, 0x2000n, 0xc09b]);
  cpu.set64(STATE.sysenterCs, 3n);
  assert.equal(bench.run(...SYSENTER), '#GP(0)');
  assert.equal(bench.run(...SYSEXIT), '#GP(0)');
  const real = new Bench('real');
  real.cpu.set64(STATE.sysenterCs, 8n);
  assert.equal(real.run(...SYSENTER), '#GP(0)');
});

test('SYSEXIT: level 0 only, canonical targets', () => {
  let bench = prepared(3);
  assert.equal(bench.run(...SYSEXIT), '#GP(0)');
  for (const register of [RCX, RDX]) {
    bench = prepared(0);
    bench.cpu.setSigned(register * 8, 0x800000000000);
    assert.equal(bench.run(0x48, ...SYSEXIT), '#GP(0)');
  }
});

test('SWAPGS exchanges all 64 bits', () => {
  const bench = prepared(0);
  const { cpu } = bench;
  cpu.setSegment(GS, 0x23, 0x123456789abc, 0xffffffff, 0xc0f3);
  cpu.set64(STATE.kernelGsBase, 0xffff8000_00005000n);
  assert.equal(bench.run(0x0f, 0x01, 0xf8), 'ok');
  assert.deepEqual([cpu.segmentBase(GS), cpu.get64(STATE.kernelGsBase)], [-0x7fffffffb000, 0x123456789abcn]);
  bench.level(3);
  assert.equal(bench.run(0x0f, 0x01, 0xf8), '#GP(0)');
});

test('SYSRET restores RF, VM clear and asks for the debugger when TF returns', () => {
  const bench = prepared(0);
  bench.cpu.setReg32(R11, RFLAGS.RF | RFLAGS.VM | RFLAGS.TF | 2);
  assert.equal(bench.run(...SYSRETQ), 'ok');
  assert.equal(bench.cpu.rflags, RFLAGS.TF | 2);
  assert.equal(bench.cpu.get32(STATE.attention), ATTENTION.debug);
});
