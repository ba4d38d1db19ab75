// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, RFLAGS } from '../register-bits.ts';
import { CLASS } from '../../mmu/walk.ts';
import { ATTENTION, RAX, RBX, RCX, RDI, RDX, RSI, STATE } from '../state.ts';
import { mwaitEnds } from './monitor.ts';
import { SystemBench } from './system-bench.test.ts';

const flags = (bench: SystemBench): number => bench.cpu.words[STATE.flagsOther >> 2];
const quads = (...values: bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(values).buffer);

test('IN and OUT: ports, widths, and what becomes of the rest of RAX', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  bench.input.push(0x12, 0x3456, 0x89abcdef);
  cpu.setReg64(RAX, 0xffffffffffffffffn);
  cpu.setReg64(RDX, 0x3f8n);
  assert.equal(bench.run('e4 80'), 'next');
  assert.equal(cpu.reg64(RAX), 0xffffffffffffff12n);
  bench.run('66 ed');
  assert.equal(cpu.reg64(RAX), 0xffffffffffff3456n);
  bench.run('ed');
  assert.equal(cpu.reg64(RAX), 0x89abcdefn);
  bench.run('e6 80');
  bench.run('66 ef');
  bench.run('48 ef');
  assert.deepEqual(bench.ports, ['r80.1', 'r3f8.2', 'r3f8.4', 'w80.1=ef', 'w3f8.2=cdef', 'w3f8.4=89abcdef']);
});

test('above IOPL the bitmap in the TSS decides, two bytes at a time', () => {
  const bench = new SystemBench().long().atCpl(3);
  const { cpu } = bench;
  cpu.setReg64(RDX, 0x3fen);
  assert.equal(bench.run('ec'), '#13(0)', 'the bitmap lies beyond the limit');
  cpu.setSegment(7, 24, 0x3000, 0x68 + 0x81, 0x8b);
  cpu.memory.write(0x3066, Uint8Array.of(0x68, 0));
  assert.equal(bench.run('ec'), 'next');
  assert.equal(bench.run('66 ed'), 'next');
  assert.equal(bench.run('ed'), 'next', 'ports 3feh..401h');
  cpu.memory.write(0x3068 + 0x80, Uint8Array.of(0x02));
  assert.equal(bench.run('66 ed'), 'next');
  assert.equal(bench.run('ed'), '#13(0)');
  cpu.setReg64(RDX, 0x40fn);
  assert.equal(bench.run('ec'), '#13(0)', 'its second byte lies beyond the limit');
  cpu.words[STATE.flagsOther >> 2] |= RFLAGS.IOPL;
  assert.equal(bench.run('ec'), 'next');
  cpu.words[STATE.flagsOther >> 2] &= ~RFLAGS.IOPL;
  cpu.setSegment(7, 24, 0x3000, 0xffff, 0x83);
  cpu.setReg64(RDX, 0n);
  assert.equal(bench.run('ec'), '#13(0)', 'a 16-bit TSS has no bitmap');
  assert.equal(bench.atCpl(0).run('ec'), 'next');
});

test('REP OUTS and REP INS', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.words[STATE.remaining >> 2] = 100;
  cpu.memory.write(0x9000, Uint8Array.of(1, 2, 3, 4));
  cpu.setReg64(RSI, 0x9000n);
  cpu.setReg64(RCX, 4n);
  cpu.setReg64(RDX, 0x3f8n);
  assert.equal(bench.run('f3 6e'), 'next');
  assert.deepEqual(bench.ports.splice(0), ['w3f8.1=1', 'w3f8.1=2', 'w3f8.1=3', 'w3f8.1=4']);
  assert.deepEqual([cpu.reg64(RSI), cpu.reg64(RCX)], [0x9004n, 0n]);
  bench.input.push(0x1111, 0x2222);
  cpu.setReg64(RDI, 0x9100n);
  cpu.setReg64(RCX, 2n);
  assert.equal(bench.run('f3 66 6d'), 'next');
  assert.equal(cpu.load32(0x9100), 0x22221111);
  assert.equal(cpu.reg64(RDI), 0x9104n);
  cpu.setReg64(RCX, 0n);
  assert.equal(bench.atCpl(3).run('f3 6e'), '#13(0)', 'permission is asked for also with nothing to do');
});

test('INS does not read the port when it cannot store', () => {
  const bench = new SystemBench().long();
  bench.cpu.setReg64(RDI, 0x200000n);
  assert.equal(bench.run('6d'), '#14(2)');
  assert.deepEqual(bench.ports, []);
  bench.cpu.setReg64(RSI, 0x200000n);
  assert.equal(bench.run('6f'), '#14(0)');
  assert.deepEqual(bench.ports, []);
});

test('HLT', () => {
  const bench = new SystemBench().long();
  assert.equal(bench.run('f4'), 'exit');
  assert.equal(bench.cpu.get32(STATE.activity), 1);
  assert.equal(bench.atCpl(3).run('f4'), '#13(0)');
});

test('STI casts a shadow only when IF was clear', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  assert.equal(bench.run('fb'), 'next');
  assert.ok(flags(bench) & RFLAGS.IF);
  assert.equal(cpu.get32(STATE.interruptibility), 1);
  assert.equal(
    cpu.get32(STATE.attention) & (ATTENTION.shadow | ATTENTION.interrupt),
    ATTENTION.shadow | ATTENTION.interrupt,
  );
  cpu.set32(STATE.interruptibility, 0);
  assert.equal(bench.run('fb'), 'next');
  assert.equal(cpu.get32(STATE.interruptibility), 0);
  assert.equal(bench.run('fa'), 'next');
  assert.equal(flags(bench) & RFLAGS.IF, 0);
});

test('CLI and STI by IOPL, with the virtual interrupt flags of PVI and VME', () => {
  const bench = new SystemBench().protected32().atCpl(3);
  const { cpu } = bench;
  assert.deepEqual([bench.run('fa'), bench.run('fb')], ['#13(0)', '#13(0)']);
  cpu.set64(STATE.cr4, BigInt(CR4.PVI));
  assert.equal(bench.run('fb'), 'next');
  assert.equal(flags(bench) & (RFLAGS.VIF | RFLAGS.IF), RFLAGS.VIF);
  assert.equal(bench.run('fa'), 'next');
  cpu.words[STATE.flagsOther >> 2] |= RFLAGS.VIP;
  assert.equal(bench.run('fb'), '#13(0)');
  cpu.words[STATE.flagsOther >> 2] = RFLAGS.IOPL;
  assert.equal(bench.run('fb'), 'next');
  assert.ok(flags(bench) & RFLAGS.IF);
  assert.equal(bench.atCpl(1).run('fa'), 'next');

  cpu.words[STATE.flagsOther >> 2] = RFLAGS.VM;
  bench.atCpl(3);
  cpu.set64(STATE.cr4, BigInt(CR4.PVI));
  assert.equal(bench.run('fa'), '#13(0)', 'virtual-8086 mode asks for VME');
  cpu.set64(STATE.cr4, BigInt(CR4.VME));
  assert.equal(bench.run('fb'), 'next');
  assert.equal(flags(bench) & (RFLAGS.VIF | RFLAGS.IF), RFLAGS.VIF);
  cpu.words[STATE.flagsOther >> 2] |= RFLAGS.IOPL;
  assert.equal(bench.run('fb'), 'next');
  assert.ok(flags(bench) & RFLAGS.IF);
});

test('CLAC and STAC decide the class of data accesses under SMAP', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.SMAP));
  cpu.mmu.pagingChanged();
  const contexts = [
    bench.run('0f 01 ca'),
    cpu.get32(STATE.dataContext),
    bench.run('0f 01 cb'),
    cpu.get32(STATE.dataContext),
  ];
  assert.deepEqual([contexts[0], contexts[2]], ['next', 'next']);
  assert.notEqual(contexts[1], contexts[3]);
  assert.equal(cpu.dataClass, CLASS.supervisor);
  assert.equal(bench.atCpl(3).run('0f 01 ca'), '#6');
});

test('RDTSC, RDTSCP, RDPID and RDPMC; TSD and PCE', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.runEnd = 0x1_0000_0007;
  cpu.set64(STATE.tscAux, 9n);
  cpu.setReg64(RAX, -1n);
  assert.equal(bench.run('0f 31'), 'next');
  assert.deepEqual([cpu.reg64(RAX), cpu.reg64(RDX)], [7n, 1n]);
  assert.equal(bench.run('0f 01 f9'), 'next');
  assert.equal(cpu.reg64(RCX), 9n);
  assert.equal(bench.run('f3 0f c7 fb'), 'next');
  assert.equal(cpu.reg64(RBX), 9n);
  assert.equal(bench.run('0f 33'), '#13(0)');
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.TSD));
  assert.equal(bench.run('0f 31'), 'next');
  bench.atCpl(3);
  assert.deepEqual([bench.run('0f 31'), bench.run('0f 01 f9'), bench.run('f3 0f c7 fb')], ['#13(0)', '#13(0)', 'next']);
});

test('RDRAND and RDSEED fill their width and set CF alone', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.arithmeticFlags = 0x8d4;
  cpu.setReg64(RBX, -1n);
  assert.equal(bench.run('66 0f c7 f3'), 'next');
  assert.equal(cpu.reg64(RBX), 0xffffffffffff0201n);
  assert.equal(cpu.arithmeticFlags, RFLAGS.CF);
  bench.run('0f c7 fb');
  assert.equal(cpu.reg64(RBX), 0x0c0b0a09n);
  bench.run('48 0f c7 f3');
  assert.equal(cpu.reg64(RBX), 0x1817161514131211n);
});

test('INVLPG drops a page, and never faults', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  cpu.load32(0x9000);
  const walks = cpu.mmu.walks;
  cpu.setReg64(RAX, 0x9abcn);
  assert.equal(bench.run('0f 01 38'), 'next');
  cpu.load32(0x9000);
  assert.equal(cpu.mmu.walks, walks + 1);
  cpu.setReg64(RAX, 0x800000000000n);
  assert.equal(bench.run('0f 01 38'), 'next');
  assert.equal(bench.atCpl(3).run('0f 01 38'), '#13(0)');
});

test('INVPCID: types, descriptors, faults', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const invpcid = (type: bigint, pcid: bigint, linear = 0n): string => {
    cpu.memory.write(0x9000, quads(pcid, linear));
    cpu.setReg64(RAX, type);
    cpu.setReg64(RBX, 0x9000n);
    return bench.run('66 0f 38 82 03');
  };
  const dropped = (): boolean => {
    const before = cpu.mmu.walks;
    cpu.load32(0xa000);
    return cpu.mmu.walks > before;
  };
  dropped();
  for (const [type, drops] of [
    [0n, true],
    [1n, true],
    [2n, true],
    [3n, true],
  ] as const) {
    assert.equal(invpcid(type, 0n, 0xa000n), 'next');
    assert.equal(dropped(), drops, `type ${type}`);
  }
  assert.equal(invpcid(0n, 0n, 0x40000000n), 'next');
  assert.equal(dropped(), false, 'a page elsewhere');
  assert.equal(invpcid(4n, 0n), '#13(0)');
  assert.equal(invpcid(1n << 32n, 0n), '#13(0)');
  assert.equal(invpcid(2n, 0x1000n), '#13(0)');
  assert.equal(invpcid(0n, 0n, 0x800000000000n), '#13(0)');
  assert.equal(invpcid(1n, 5n), '#13(0)', 'without PCIDE there is only PCID 0');
  cpu.set64(STATE.cr4, cpu.get64(STATE.cr4) | BigInt(CR4.PCIDE));
  cpu.mmu.pagingChanged();
  dropped();
  assert.equal(invpcid(1n, 5n), 'next');
  assert.equal(dropped(), false, 'another PCID');
});

test('CLFLUSH and its kin touch the line as a load does', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  for (const instruction of ['0f ae 38', '66 0f ae 38', '66 0f ae 30']) {
    cpu.setReg64(RAX, 0x9000n);
    assert.equal(bench.run(instruction), 'next');
    cpu.setReg64(RAX, 0x200000n);
    assert.equal(bench.run(instruction), '#14(0)');
  }
});

test('MONITOR and MWAIT: sleep until the line is written, once per MONITOR', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const monitor = (): string => {
    cpu.setReg64(RAX, 0x9008n);
    cpu.setReg64(RCX, 0n);
    return bench.run('0f 01 c8');
  };
  assert.equal(bench.run('0f 01 c9'), 'next', 'nothing is armed');
  assert.equal(monitor(), 'next');
  assert.equal(bench.run('0f 01 c9'), 'exit');
  assert.equal(cpu.get32(STATE.activity), 1);
  assert.equal(mwaitEnds(cpu), false);
  cpu.memory.write(0x9040, Uint8Array.of(1));
  assert.equal(mwaitEnds(cpu), false, 'the next line');
  cpu.memory.write(0x903f, Uint8Array.of(1));
  assert.equal(mwaitEnds(cpu), true);
  cpu.set32(STATE.activity, 0);
  assert.equal(bench.run('0f 01 c9'), 'next', 'a line serves once');
  monitor();
  cpu.memory.write(0x9000, Uint8Array.of(1));
  assert.equal(bench.run('0f 01 c9'), 'next', 'written in between');
  bench.run('f4');
  assert.equal(mwaitEnds(cpu), false, 'HLT is not MWAIT');
});

test('MWAIT: a masked interrupt ends the sleep when ECX[0] asks for it', () => {
  const bench = new SystemBench().long();
  const { cpu, apic } = bench;
  apic.writeMemory(0xf0, 4, 0x1ff);
  const sleep = (ecx: bigint): string => {
    cpu.setReg64(RAX, 0x9000n);
    cpu.setReg64(RCX, 0n);
    bench.run('0f 01 c8');
    cpu.setReg64(RCX, ecx);
    return bench.run('0f 01 c9');
  };
  assert.equal(sleep(2n), '#13(0)');
  assert.equal(sleep(0n), 'exit');
  apic.accept(0x40, false);
  assert.equal(mwaitEnds(cpu), false);
  assert.equal(sleep(1n), 'next', 'it is pending already');
  assert.equal(bench.atCpl(3).run('0f 01 c9'), '#6');
});

test('undefined and ordering instructions', () => {
  const bench = new SystemBench().long();
  for (const instruction of ['0f ff c0', '0f b9 c0', '0f 0b', '0f aa'])
    assert.equal(bench.run(instruction), '#6', instruction);
  for (const instruction of ['0f ae e8', '0f ae f0', '0f ae f8', 'f3 90', '0f 08', '0f 09', 'f3 0f 09'])
    assert.equal(bench.run(instruction), 'next', instruction);
});

test('SALC', () => {
  const bench = new SystemBench().protected32();
  const { cpu } = bench;
  cpu.setReg64(RAX, 0x1234n);
  cpu.arithmeticFlags = RFLAGS.CF;
  bench.run('d6');
  assert.equal(cpu.reg32(RAX), 0x12ff);
  cpu.arithmeticFlags = 0;
  bench.run('d6');
  assert.equal(cpu.reg32(RAX), 0x1200);
});
