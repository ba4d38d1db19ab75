// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CAPABILITY_MSRS } from '../../../arch/vmx/capabilities.ts';
import { PROFILES } from '../../../arch/vmx/profiles.ts';
import { EFER } from '../register-bits.ts';
import { FS, RAX, RBX, RCX, RDX, SEGMENT, STATE, segmentOffset } from '../state.ts';
import { readMsr, writeMsr } from './msr-table.ts';
import { SystemBench } from './system-bench.test.ts';

function rdmsr(bench: SystemBench, index: number): bigint | string {
  const { cpu } = bench;
  cpu.setReg64(RCX, BigInt(index) | (0xffn << 32n));
  cpu.setReg64(RAX, -1n);
  const outcome = bench.run('0f 32');
  return outcome === 'next' ? (cpu.reg64(RDX) << 32n) | cpu.reg64(RAX) : outcome;
}

function wrmsr(bench: SystemBench, index: number, value: bigint): string {
  const { cpu } = bench;
  cpu.setReg64(RCX, BigInt(index));
  cpu.setReg64(RAX, (value & 0xffffffffn) | (0xffn << 32n));
  cpu.setReg64(RDX, value >> 32n);
  return bench.run('0f 30');
}

test('RDMSR and WRMSR reach the state block', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  // prettier-ignore
  const places: readonly (readonly [index: number, offset: number, value: bigint])[] = [
    [0x174,      STATE.sysenterCs,   0x10n],
    [0x175,      STATE.sysenterEsp,  0xffff888000000000n],
    [0x176,      STATE.sysenterEip,  0x7fffffffffffn],
    [0x277,      STATE.pat,          0x0007010600070406n],
    [0xc0000081, STATE.star,         0x0023001000000000n],
    [0xc0000082, STATE.lstar,        0xffffffff81000000n],
    [0xc0000083, STATE.cstar,        0xffffffff81000100n],
    [0xc0000084, STATE.fmask,        0x47700n],
    [0xc0000100, segmentOffset(FS) + SEGMENT.base, 0x7fff12345678n],
    [0xc0000102, STATE.kernelGsBase, 0xffff888000000000n],
    [0xc0000103, STATE.tscAux,       7n],
  ];
  for (const [index, offset, value] of places) {
    assert.equal(wrmsr(bench, index, value), 'next', index.toString(16));
    assert.equal(cpu.get64(offset), value);
    assert.equal(rdmsr(bench, index), value);
  }
  assert.equal(wrmsr(bench, 0xc0000100, 0x800000000000n), '#13(0)');
  assert.equal(rdmsr(bench, 0xc0000100), 0x7fff12345678n);
});

test('EFER: LME is fixed under paging, LMA is not written, reserved bits', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  assert.equal(wrmsr(bench, 0xc0000080, BigInt(EFER.LME | EFER.SCE | EFER.NXE)), 'next');
  assert.equal(cpu.efer, EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE);
  assert.ok(cpu.mmu.paging.noExecute);
  assert.equal(wrmsr(bench, 0xc0000080, BigInt(EFER.SCE)), '#13(0)');
  assert.equal(wrmsr(bench, 0xc0000080, 0x1500n), '#13(0)');
  assert.equal(wrmsr(new SystemBench(['-nx']).long(), 0xc0000080, BigInt(EFER.LME | EFER.NXE)), '#13(0)');
});

test('the time-stamp counter, its adjustment, and the deadline', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.runEnd = 5_000;
  assert.equal(rdmsr(bench, 0x10), 5_000n);
  assert.equal(wrmsr(bench, 0x10, 1_000n), 'next');
  assert.equal(rdmsr(bench, 0x10), 1_000n);
  assert.equal(rdmsr(bench, 0x3b), 2n ** 64n - 4_000n);
  cpu.runEnd += 50;
  assert.equal(rdmsr(bench, 0x10), 1_050n);
  assert.equal(wrmsr(bench, 0x3b, 0n), 'next');
  assert.equal(rdmsr(bench, 0x10), 5_050n);
  assert.equal(wrmsr(bench, 0x10, 0xfffffffffffffff0n), 'next');
  cpu.runEnd += 0x20;
  assert.equal(rdmsr(bench, 0x10), 0x10n, 'it wraps');
  bench.run('0f 31');
  assert.deepEqual([cpu.reg64(RAX), cpu.reg64(RDX)], [0x10n, 0n]);
});

test('RDTSC is the counter, wherever it was set to', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const edges = [0n, 1n, 2n ** 32n - 1n, 2n ** 50n, 2n ** 51n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];
  fc.assert(
    fc.property(fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(...edges)), fc.maxSafeNat(), (value, ticks) => {
      cpu.runEnd = 5_000;
      assert.equal(wrmsr(bench, 0x10, value), 'next');
      cpu.runEnd = (ticks % 2 ** 50) + 5_000;
      bench.run('0f 31');
      const read = (cpu.reg64(RDX) << 32n) | cpu.reg64(RAX);
      assert.equal(read, BigInt.asUintN(64, value + BigInt(ticks % 2 ** 50)));
    }),
  );
});

test('when the counter reaches a value', () => {
  const { cpu } = new SystemBench([], 2e9).long();
  const { tsc } = cpu.environment;
  cpu.runEnd = 1_000;
  assert.equal(tsc.nanosecondsAt(1_001, 0), 500.5);
  assert.ok(tsc.nanosecondsAt(1_000, 0) <= 500);
  assert.ok(tsc.nanosecondsAt(0, 0) <= 500);
  assert.equal(tsc.nanosecondsAt(0, 0x80000000), Infinity);
  tsc.write(0xffffffff, 0);
  assert.equal(tsc.nanosecondsAt(3, 1), 502);
});

test('the local APIC answers for its own', () => {
  const bench = new SystemBench().long();
  assert.equal(rdmsr(bench, 0x1b), 0xfee00900n);
  assert.equal(rdmsr(bench, 0x802), '#13(0)', 'not in x2APIC mode');
  assert.equal(wrmsr(bench, 0x1b, 0xfee00d00n), 'next');
  assert.ok(bench.apic.x2apicMode);
  assert.equal(rdmsr(bench, 0x802), 0n);
  assert.equal(wrmsr(bench, 0x808, 0x30n), 'next');
  assert.equal(bench.apic.taskPriority, 0x30);
  assert.equal(wrmsr(bench, 0x802, 1n), '#13(0)');
  assert.equal(bench.cpu.environment.msrs.unknown.size, 0);
});

test('FEATURE_CONTROL can be written until it is locked', () => {
  const bench = new SystemBench().long();
  assert.equal(wrmsr(bench, 0x3a, 2n), '#13(0)', 'there is no SMX');
  assert.equal(wrmsr(bench, 0x3a, 4n), 'next');
  assert.equal(wrmsr(bench, 0x3a, 5n), 'next');
  assert.equal(wrmsr(bench, 0x3a, 0n), '#13(0)');
  assert.equal(rdmsr(bench, 0x3a), 5n);
});

test('VMX capability registers are those of the profile, read-only', () => {
  const bench = new SystemBench().long();
  const capabilities = PROFILES['modern-1'];
  for (const [name, index] of Object.entries(CAPABILITY_MSRS)) {
    const value = capabilities[name as keyof typeof CAPABILITY_MSRS];
    const expected = value === undefined ? '#13(0)' : (BigInt(value.high) << 32n) | BigInt(value.low);
    assert.equal(rdmsr(bench, index), expected, name);
  }
  assert.equal(wrmsr(bench, CAPABILITY_MSRS.IA32_VMX_BASIC, 0n), '#13(0)');
});

test('the microcode revision survives what Linux writes; command registers cannot be read', () => {
  const bench = new SystemBench().long();
  assert.equal(wrmsr(bench, 0x8b, 0n), 'next');
  assert.equal(rdmsr(bench, 0x8b), 0x2b00070000000000n);
  assert.equal(wrmsr(bench, 0x49, 1n), 'next');
  assert.equal(rdmsr(bench, 0x49), '#13(0)');
  assert.equal(bench.cpu.environment.msrs.unknown.size, 0, 'it exists');
});

test('a register that does not exist is counted, reads and writes apart', () => {
  const bench = new SystemBench().long();
  assert.equal(rdmsr(bench, 0x606), '#13(0)');
  assert.equal(rdmsr(bench, 0x606), '#13(0)');
  assert.equal(wrmsr(bench, 0xc0010015, 0n), '#13(0)');
  assert.deepEqual(
    [...bench.cpu.environment.msrs.unknown],
    [
      [0x606, { reads: 2, writes: 0 }],
      [0xc0010015, { reads: 0, writes: 1 }],
    ],
  );
  assert.equal(bench.atCpl(3).run('0f 32'), '#13(0)');
  assert.equal(bench.cpu.environment.msrs.unknown.get(0x606)?.reads, 2, 'privilege comes first');
});

test('every register of the table can be read or written at reset without changing', () => {
  const { cpu } = new SystemBench().long();
  for (let index = 0; index < 0x1000; index++) {
    if (index >= 0x800 && index < 0x900) continue;
    const value = readMsr(cpu, index);
    if (value === undefined || index === 0x10 || index === 0x3b) continue;
    const before = value;
    writeMsr(cpu, index, value);
    assert.equal(readMsr(cpu, index), before, index.toString(16));
  }
});

test('CPUID shows OSXSAVE, the APIC switch, and MONITOR as they are', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const one = (): [number, number] => {
    cpu.setReg64(RAX, 0xff00000001n);
    cpu.setReg64(RCX, 0n);
    assert.equal(bench.run('0f a2'), 'next');
    return [cpu.reg32(RCX), cpu.reg32(RDX)];
  };
  assert.deepEqual([(one()[0] >>> 27) & 1, (one()[1] >>> 9) & 1, (one()[0] >>> 3) & 1], [1, 1, 1]);
  assert.equal(cpu.reg64(RBX) >> 32n, 0n);
  cpu.set64(STATE.cr4, 0x20n);
  wrmsr(bench, 0x1b, 0xfee00100n);
  wrmsr(bench, 0x1a0, 1n);
  assert.deepEqual([(one()[0] >>> 27) & 1, (one()[1] >>> 9) & 1, (one()[0] >>> 3) & 1], [0, 0, 0]);
  cpu.setReg64(RCX, 0n);
  assert.equal(bench.run('0f 01 c8'), '#6', 'MONITOR is off');
});
