// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmxHooks } from '../environment.ts';
import { MODE } from '../mode.ts';
import { CR0, CR4, EFER } from '../register-bits.ts';
import { ATTENTION, CS, RAX, RBX, SEGMENT, STATE, segmentOffset } from '../state.ts';
import { SystemBench } from './system-bench.test.ts';

const MOV_CR0_RAX = '0f 22 c0';
const MOV_CR3_RAX = '0f 22 d8';
const MOV_CR4_RAX = '0f 22 e0';
const MOV_RAX_CR0 = '0f 20 c0';
const MOV_CR8_RAX = '44 0f 22 c0';

function load(bench: SystemBench, instruction: string, value: bigint): string {
  bench.cpu.setReg64(RAX, value);
  return bench.run(instruction);
}

test('CR0: the way from real-address mode to 64-bit mode', () => {
  const bench = new SystemBench();
  const { cpu } = bench;
  assert.equal(load(bench, MOV_CR0_RAX, 0x60000011n), 'next');
  assert.ok(!cpu.realMode);
  bench.protected32();
  assert.equal(load(bench, MOV_CR4_RAX, BigInt(CR4.PAE | CR4.PGE)), 'next');
  assert.equal(load(bench, MOV_CR3_RAX, 0x4000n), 'next');
  cpu.set64(STATE.efer, BigInt(EFER.LME));
  assert.equal(load(bench, MOV_CR0_RAX, 0x80000011n), 'next');
  assert.equal(cpu.efer, EFER.LME | EFER.LMA);
  assert.equal(cpu.mmu.paging.levels, 4);
  assert.equal(cpu.mmu.paging.root, 0x4000);
  assert.ok(!cpu.code64, 'compatibility mode until CS is loaded');
  assert.equal(load(bench, MOV_CR0_RAX, 0x11n), 'next');
  assert.equal(cpu.efer, EFER.LME);
  assert.equal(cpu.mmu.paging.levels, 0);
});

test('CR0: bits 63:32, and combinations that are refused, change nothing', () => {
  const bench = new SystemBench().long();
  const before = bench.cpu.get64(STATE.cr0);
  assert.equal(load(bench, MOV_CR0_RAX, 0x180000011n), '#13(0)');
  assert.equal(load(bench, MOV_CR0_RAX, 0x11n), '#13(0)');
  assert.equal(load(bench, MOV_CR0_RAX, 0xa0000011n), '#13(0)');
  assert.equal(bench.cpu.get64(STATE.cr0), before);
  bench.atCpl(3);
  assert.equal(load(bench, MOV_CR0_RAX, before), '#13(0)');
});

test('CR0: EM, TS and MP reach the mode word; CLTS', () => {
  const bench = new SystemBench().protected32();
  const mode = (): number => bench.cpu.words[STATE.mode >> 2] & (MODE.em | MODE.ts | MODE.mp);
  load(bench, MOV_CR0_RAX, 0x1fn);
  assert.equal(mode(), MODE.em | MODE.ts | MODE.mp);
  assert.equal(bench.run('0f 06'), 'next');
  assert.equal(mode(), MODE.em | MODE.mp);
  bench.run(MOV_RAX_CR0);
  assert.equal(bench.cpu.reg64(RAX), 0x17n);
});

test('PAE paging loads its four entries, and refuses reserved bits', () => {
  const bench = new SystemBench().protected32();
  const { cpu } = bench;
  const entries = BigUint64Array.of(0x5001n, 0n, 0x7000006001n, 0xfffffffffffffff8n);
  cpu.memory.write(0x8020, new Uint8Array(entries.buffer));
  load(bench, MOV_CR3_RAX, 0x8020n);
  load(bench, MOV_CR4_RAX, BigInt(CR4.PAE));
  assert.equal(load(bench, MOV_CR0_RAX, 0x80000011n), 'next');
  assert.equal(cpu.mmu.paging.levels, 3);
  assert.deepEqual([...cpu.mmu.paging.pdpte], [0x5001, 0, 0, 0, 0x6001, 0x70, -8, -1]);
  assert.equal(cpu.get64(STATE.pdpte2), 0x7000006001n);
  for (const bad of [0x5003n, 0x5021n, 0x5101n, 0x8000005001n, 0x8000000000005001n]) {
    cpu.memory.write(0x8040, new Uint8Array(BigUint64Array.of(bad, 0n, 0n, 0n).buffer));
    assert.equal(load(bench, MOV_CR3_RAX, 0x8040n), '#13(0)', bad.toString(16));
    assert.equal(cpu.get64(STATE.cr3), 0x8020n);
  }
  cpu.memory.write(0x8040, new Uint8Array(BigUint64Array.of(0x9001n, 0n, 0n, 0n).buffer));
  assert.equal(load(bench, MOV_CR3_RAX, 0x8040n), 'next');
  assert.equal(cpu.mmu.paging.pdpte[0], 0x9001);
  cpu.memory.write(0x8040, new Uint8Array(BigUint64Array.of(0xa001n).buffer));
  assert.equal(load(bench, MOV_CR4_RAX, BigInt(CR4.PAE | CR4.PGE)), 'next');
  assert.equal(cpu.mmu.paging.pdpte[0], 0xa001, 'a change of PGE loads them too');
  cpu.memory.write(0x8040, new Uint8Array(BigUint64Array.of(0xb001n).buffer));
  load(bench, MOV_CR0_RAX, 0x80000019n);
  assert.equal(cpu.mmu.paging.pdpte[0], 0xa001, 'a change of TS does not');
});

test('CR3: reserved bits; PCIDE and bit 63', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  assert.equal(load(bench, MOV_CR3_RAX, 0x8000004000n), '#13(0)');
  assert.equal(load(bench, MOV_CR3_RAX, 0x8000000000004000n), '#13(0)');
  assert.equal(load(bench, MOV_CR4_RAX, cpu.get64(STATE.cr4) | BigInt(CR4.PCIDE)), 'next');
  assert.equal(load(bench, MOV_CR3_RAX, 0x8000000000004001n), 'next');
  assert.equal(cpu.get64(STATE.cr3), 0x4001n);
  assert.equal(load(bench, MOV_CR3_RAX, 0x4000000000004001n), '#13(0)');
  assert.equal(load(bench, MOV_CR0_RAX, 0x11n), '#13(0)');
});

test('CR3: what keeps translations and what drops them', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const walks = (): number => {
    const before = cpu.mmu.walks;
    cpu.load32(0x9000);
    return cpu.mmu.walks - before;
  };
  walks();
  assert.equal(walks(), 0);
  load(bench, MOV_CR3_RAX, 0x4000n);
  assert.equal(walks(), 1, 'without PCIDs every write flushes');
  load(bench, MOV_CR4_RAX, cpu.get64(STATE.cr4) | BigInt(CR4.PCIDE));
  load(bench, MOV_CR3_RAX, 0x4001n);
  walks();
  load(bench, MOV_CR3_RAX, 0x4002n);
  assert.equal(walks(), 1);
  load(bench, MOV_CR3_RAX, 0x8000000000004001n);
  assert.equal(walks(), 0, 'PCID 1 was kept');
  load(bench, MOV_CR3_RAX, 0x4002n);
  load(bench, MOV_CR3_RAX, 0x4001n);
  assert.equal(walks(), 1, 'and is dropped without bit 63');
  load(bench, MOV_CR4_RAX, cpu.get64(STATE.cr4) | BigInt(CR4.PGE));
  assert.equal(walks(), 1, 'a change of PGE drops everything');
});

test('CR4: reserved bits, features, PAE in IA-32e mode', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  for (const bad of [0n, 0x1020n, 0x400020n, 0x100000020n])
    assert.equal(load(bench, MOV_CR4_RAX, bad), '#13(0)', bad.toString(16));
  assert.equal(load(bench, MOV_CR4_RAX, BigInt(CR4.PAE | CR4.SMAP | CR4.SMEP)), 'next');
  assert.ok(cpu.mmu.paging.smep && cpu.mmu.paging.smap);
  assert.ok(cpu.words[STATE.mode >> 2] & MODE.noSse);
  assert.equal(load(new SystemBench(['-smap']).long(), MOV_CR4_RAX, BigInt(CR4.PAE | CR4.SMAP)), '#13(0)');
});

test('CR8 is the task priority', () => {
  const bench = new SystemBench().long();
  assert.equal(load(bench, MOV_CR8_RAX, 9n), 'next');
  assert.equal(bench.apic.taskPriority, 0x90);
  assert.equal(load(bench, MOV_CR8_RAX, 16n), '#13(0)');
  assert.equal(load(bench, MOV_CR8_RAX, 1n << 40n), '#13(0)');
  assert.equal(bench.run('44 0f 20 c3'), 'next');
  assert.equal(bench.cpu.reg64(RBX), 9n);
});

test('CR2 is 64 bits wide', () => {
  const bench = new SystemBench().long();
  load(bench, '0f 22 d0', 0x123456789abcdef0n);
  bench.run('0f 20 d3');
  assert.equal(bench.cpu.reg64(RBX), 0x123456789abcdef0n);
});

test('LMSW sets PE and never clears it; SMSW; UMIP', () => {
  const bench = new SystemBench();
  const { cpu } = bench;
  cpu.setReg64(RAX, 0xffffn);
  assert.equal(bench.run('0f 01 f0'), 'next');
  assert.equal(cpu.cr0 & 0xffff, 0x1f);
  cpu.setReg64(RAX, 0n);
  assert.equal(bench.run('0f 01 f0'), 'next');
  assert.equal(cpu.cr0 & 0xffff, 0x11);
  bench.long();
  cpu.setReg64(RBX, -1n);
  assert.equal(bench.run('0f 01 e3'), 'next');
  assert.equal(cpu.reg64(RBX), cpu.get64(STATE.cr0));
  cpu.setReg64(RBX, 0x9000n);
  assert.equal(bench.run('0f 01 23'), 'next');
  assert.equal(cpu.load32(0x9000), cpu.cr0 & 0xffff);
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.UMIP));
  assert.equal(bench.run('0f 01 e3'), 'next');
  assert.equal(bench.atCpl(3).run('0f 01 e3'), '#13(0)');
});

test('debug registers: reserved bits, DR4 and DR5, GD', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const moveTo = (n: number, value: bigint): string => load(bench, `0f 23 ${(0xc0 + n * 8).toString(16)}`, value);
  assert.equal(moveTo(0, 0xffff888000000000n), 'next');
  assert.equal(cpu.get64(STATE.dr0), 0xffff888000000000n);
  assert.equal(moveTo(6, 0xffffffffn), 'next');
  assert.equal(cpu.get64(STATE.dr6), 0xffffefffn);
  assert.equal(moveTo(6, 0n), 'next');
  assert.equal(cpu.get64(STATE.dr6), 0xffff0ff0n);
  assert.equal(moveTo(7, 1n << 32n), '#13(0)');
  assert.equal(moveTo(7, 0xffffdfffn), 'next');
  assert.equal(cpu.get64(STATE.dr7), 0xffff07ffn);
  assert.ok(cpu.words[STATE.attention >> 2] & ATTENTION.debug);
  assert.equal(bench.run('0f 21 e8'), 'next', 'DR5 is DR7');
  assert.equal(cpu.reg64(RAX), 0xffff07ffn);
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.DE));
  assert.equal(bench.run('0f 21 e8'), '#6');
  assert.equal(moveTo(7, 0x2400n), 'next');
  assert.equal(bench.run('0f 21 c0'), '#1');
  assert.equal(cpu.faultDebugStatus, 0x2000);
  assert.equal(cpu.get64(STATE.dr6) & 0x2000n, 0n, 'delivery writes it, a VM exit does not');
  assert.equal(bench.atCpl(3).run('0f 21 c0'), '#13(0)', 'privilege comes first');
});

test('LGDT and SIDT in 16, 32 and 64 bits', () => {
  const bench = new SystemBench().protected32();
  const { cpu } = bench;
  cpu.setReg64(RAX, 0x9000n);
  cpu.memory.write(0x9000, Uint8Array.of(0x7f, 0, 0x78, 0x56, 0x34, 0x12, 0xff, 0xff, 0xff, 0xff));
  assert.equal(bench.run('0f 01 10'), 'next');
  assert.deepEqual([cpu.getSigned(STATE.gdtrBase), cpu.get32(STATE.gdtrLimit)], [0x12345678, 0x7f]);
  assert.equal(bench.run('66 0f 01 18'), 'next');
  assert.equal(cpu.getSigned(STATE.idtrBase), 0x345678);
  cpu.setReg64(RAX, 0x9100n);
  assert.equal(bench.run('0f 01 08'), 'next');
  assert.deepEqual(
    [...cpu.memory.u8.subarray(cpu.memory.host(0x9100), cpu.memory.host(0x9100) + 8)],
    [0x7f, 0, 0x78, 0x56, 0x34, 0, 0, 0],
  );

  bench.long();
  cpu.memory.write(0x9000, Uint8Array.of(0xff, 0x0f, 0, 0x10, 0, 0, 0x80, 0x88, 0xff, 0xff));
  cpu.setReg64(RAX, 0x9000n);
  assert.equal(bench.run('0f 01 18'), 'next');
  assert.deepEqual([cpu.get64(STATE.idtrBase), cpu.get32(STATE.idtrLimit)], [0xffff888000001000n, 0xfff]);
  cpu.memory.write(0x9008, Uint8Array.of(0, 1));
  assert.equal(bench.run('0f 01 18'), '#13(0)', 'a base that is not canonical');
  cpu.setReg64(RAX, 0x9ffcn);
  assert.equal(bench.run('0f 01 08'), 'next', 'across a page');
  assert.equal(cpu.load64(0x9ffe), 0xffff888000001000n);
});

test('FSGSBASE: needs CR4, refuses what is not canonical', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  assert.equal(bench.run('f3 48 0f ae d0'), '#6');
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.FSGSBASE));
  cpu.setReg64(RAX, 0xffff888012345678n);
  assert.equal(bench.run('f3 48 0f ae d0'), 'next');
  assert.equal(bench.run('f3 0f ae c3'), 'next');
  assert.equal(cpu.reg64(RBX), 0x12345678n);
  assert.equal(bench.run('f3 0f ae d8'), 'next');
  assert.equal(cpu.get64(segmentOffset(5) + SEGMENT.base), 0x12345678n);
  cpu.setReg64(RAX, 0x800000000000n);
  assert.equal(bench.run('f3 48 0f ae d8'), '#13(0)');
});

test('VMX hooks: an exit, masks and the fixed bits', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const seen: string[] = [];
  let exits = true;
  const hooks: VmxHooks = {
    rdtscpEnabled: true,
    exitPending: false,
    intercept: (_cpu, _instruction, exit, details) => {
      seen.push(`${exit} ${details.number} ${details.register} ${details.write}`);
      return exits;
    },
    pauseExits: () => exits,
    controlAllowed: (_cpu, register, value) => register === 4 || (value & CR0.NE) !== 0,
    shownControl: (_cpu, _register, value) => value & ~CR0.NE,
    writtenControl: (_cpu, register, value) => (register === 0 ? value | CR0.NE : value),
    readTaskPriority: () => 5,
    writeTaskPriority: () => true,
    unblockNmi: () => {},
    iretDone: () => {},
    guestTsc: (_cpu, counter) => void (counter.low = 77),
  };
  cpu.environment.vmx = hooks;
  assert.equal(load(bench, MOV_CR0_RAX, 0x80010011n), '#13(0)', 'in root operation the fixed bits hold, nothing exits');
  assert.deepEqual(seen, []);
  cpu.set32(STATE.nonRoot, 1);
  assert.equal(load(bench, MOV_CR0_RAX, 0x80010011n), 'exit');
  assert.deepEqual(seen, ['Control-register accesses 0 0 true']);
  exits = false;
  assert.equal(load(bench, MOV_CR0_RAX, 0x80010011n), 'next');
  assert.equal(cpu.cr0 >>> 0, 0x80010031);
  bench.run(MOV_RAX_CR0);
  assert.equal(cpu.reg64(RAX), 0x80010011n);
  bench.run('44 0f 20 c0');
  assert.equal(cpu.reg64(RAX), 5n);
  load(bench, MOV_CR8_RAX, 3n);
  assert.equal(bench.apic.cr8, 0);
  cpu.guestTscAhead = NaN;
  bench.run('0f 31');
  assert.equal(cpu.reg64(RAX), 77n);
  assert.equal(cpu.selector(CS), 8);
});
