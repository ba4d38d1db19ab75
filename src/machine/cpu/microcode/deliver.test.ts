// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { RFLAGS } from '../register-bits.ts';
import { CS, DS, ES, FS, GS, RAX, RSP, SS, STATE, TR } from '../state.ts';
import type { Event } from './exceptions.ts';
import {
  SINGLE_STEP,
  debugTrap,
  deliver,
  eventHooks,
  raiseException,
  takeDeliveringEvent,
} from './interrupt-delivery.ts';
import { AT, Bench, SELECTOR } from './privilege-bench.test.ts';

const external = (vector: number): Event => ({ vector, kind: 'external', errorCode: -1 });

/** What a failed delivery of `event` nests: the events that the hook saw, as text. */
function seen(bench: Bench, raise: () => string): string {
  const list: string[] = [];
  eventHooks(bench.cpu).interceptEvent = (event, during) => {
    list.push(
      `${event.vector}${event.errorCode >= 0 ? `(${event.errorCode.toString(16)})` : ''}${during ? `<${during.vector}` : ''}`,
    );
    return false;
  };
  return `${raise()} ${list.join(' ')}`;
}

test('real-address mode: an interrupt pushes FLAGS, CS, IP and goes through the vector table', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  bench.poke(8 * 4, 4, 0x12345678);
  cpu.rflags = 0x202 | RFLAGS.TF | RFLAGS.CF;
  assert.equal(deliver(cpu, external(8)), 'delivered');
  assert.equal(cpu.selector(CS), 0x1234);
  assert.equal(cpu.segmentBase(CS), 0x12340);
  assert.equal(cpu.rip, 0x5678);
  assert.equal(cpu.rflags, 3, 'IF and TF are clear');
  assert.deepEqual(bench.stacked(2, 3, 0x18000 + 0x7fa), [0x100, AT.code >> 4, 0x303]);
  assert.equal(cpu.reg16(RSP), 0x7fa);
});

test('real-address mode: the stack wraps at 64 KiB, and IRET takes the way back', () => {
  const bench = new Bench('real');
  const { cpu } = bench;
  cpu.setReg32(RSP, 0x77770002);
  bench.poke(0x21 * 4, 4, 0x20000010);
  assert.equal(bench.run(0xcd, 0x21), 'ok');
  assert.equal(cpu.reg32(RSP), 0x7777fffc, 'only SP moves');
  assert.equal(bench.peek(0x18000, 2), 2);
  assert.equal(cpu.rip, 0x10);
  assert.equal(bench.run(0xcf), 'ok');
  assert.deepEqual([cpu.selector(CS), cpu.rip, cpu.reg32(RSP)], [AT.code >> 4, 0x102, 0x77770002]);
});

test('real-address mode: no room in the vector table is #GP, then #DF, then shutdown', () => {
  const bench = new Bench('real');
  bench.cpu.set32(STATE.idtrLimit, 8 * 4 - 1);
  assert.equal(
    seen(bench, () => deliver(bench.cpu, external(0x40))),
    'shutdown 64 13(203)<64 13(6b)<13 8(0) 13(43)<8',
  );
});

test('protected mode: same level, interrupt and trap gates of 32 and 16 bits', () => {
  for (const [type, size, clearsIf] of [
    [0xe, 4, true],
    [0xf, 4, false],
    [6, 2, true],
    [7, 2, false],
  ] as const) {
    const bench = new Bench('protected');
    const { cpu } = bench;
    bench.gate(AT.idt + 0x30 * 8, type, SELECTOR.code0, size === 4 ? 0x60300 : 0x9300);
    cpu.rflags = 0x4302;
    assert.equal(deliver(cpu, external(0x30)), 'delivered');
    assert.equal(cpu.rip, size === 4 ? 0x60300 : 0x9300);
    assert.equal(cpu.rflags, clearsIf ? 2 : 0x202, `gate type ${type}: TF and NT clear`);
    assert.deepEqual(bench.stacked(size, 3), [size === 4 ? AT.code : AT.code & 0xffff, SELECTOR.code0, 0x4302]);
    assert.equal(cpu.reg32(RSP), AT.stack0 + 0x800 - 3 * size);
  }
});

test('protected mode: from level 3 the stack comes from the TSS; faults push RF and their error code', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.vector(13, 0xf);
  bench.level(3);
  cpu.rflags = 0x202;
  cpu.fault(13, 0x28);
  assert.equal(raiseException(cpu), 'delivered');
  assert.equal(cpu.cpl, 0);
  assert.deepEqual([cpu.selector(CS), cpu.rip], [SELECTOR.code0, bench.handler(13)]);
  assert.deepEqual(
    [cpu.selector(SS), cpu.accessRights(SS), cpu.reg32(RSP)],
    [SELECTOR.data0, 0xc093, AT.stack0 + 0x400 - 24],
  );
  assert.deepEqual(bench.stacked(4, 6), [
    0x28,
    AT.code,
    SELECTOR.code3,
    0x202 | RFLAGS.RF,
    AT.stack3 + 0x800,
    SELECTOR.data3,
  ]);
});

test('protected mode: what a 16-bit TSS holds is used too', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  cpu.setSegment(TR, SELECTOR.tss16, AT.tss16, 0x2b, 0x83);
  bench.poke(AT.tss16 + 2, 2, 0x7000);
  bench.poke(AT.tss16 + 4, 2, SELECTOR.data0);
  bench.vector(0x20);
  bench.level(3);
  assert.equal(deliver(cpu, external(0x20)), 'delivered');
  assert.equal(cpu.reg32(RSP), 0x7000 - 20);
});

test("protected mode: INT n respects the gate's DPL, external interrupts do not", () => {
  const bench = new Bench('protected');
  bench.vector(0x80, 0xe, 0);
  bench.level(3);
  assert.equal(bench.run(0xcd, 0x80), '#GP(402)');
  assert.equal(takeDeliveringEvent(bench.cpu)?.kind, 'software');
  assert.equal(deliver(bench.cpu, external(0x80)), 'delivered');
  bench.vector(0x80, 0xf, 3);
  bench.level(3);
  bench.cpu.rip = AT.code;
  assert.equal(bench.run(0xcd, 0x80), 'ok');
  assert.equal(bench.stacked(4, 1)[0], AT.code + 2, 'the return address follows the instruction');
});

test('INT1 passes a gate of level 0, INT3 and INTO do not', () => {
  for (const [bytes, outcome] of [
    [[0xf1], 'ok'],
    [[0xcc], '#GP(1a)'],
    [[0xce], '#GP(22)'],
  ] as const) {
    const bench = new Bench('protected');
    for (const vector of [1, 3, 4]) bench.vector(vector);
    bench.level(3);
    bench.cpu.rflags = 2 | RFLAGS.OF;
    assert.equal(bench.run(...bytes), outcome);
  }
  const bench = new Bench('protected');
  assert.equal(bench.run(0xce), 'ok', 'INTO without OF');
  assert.equal(bench.cpu.rip, AT.code + 1);
});

test('protected mode: error codes of bad gates and handlers', () => {
  const cases: [string, (bench: Bench) => void][] = [
    ['#GP(102)', (bench) => bench.cpu.set32(STATE.idtrLimit, 0x20 * 8 + 6)],
    ['#GP(102)', (bench) => bench.vector(0x20, 0xc, 3)],
    ['#NP(102)', (bench) => bench.poke(AT.idt + 0x20 * 8 + 4, 4, 0x6e00)],
    ['#GP(0)', (bench) => bench.vector(0x20, 0xe, 3, 0)],
    ['#GP(68)', (bench) => bench.vector(0x20, 0xe, 3, SELECTOR.free)],
    ['#GP(10)', (bench) => bench.vector(0x20, 0xe, 3, SELECTOR.data0)],
    ['#GP(100)', (bench) => bench.vector(0x20, 0xe, 3, 0x100)],
    ['#NP(78)', (bench) => bench.vector(0x20, 0xe, 3, SELECTOR.absent)],
    ['#TS(38)', (bench) => (bench.vector(0x20, 0xe, 3), bench.cpu.setSegment(TR, SELECTOR.tss, AT.tss, 8, 0x8b))],
    ['#TS(0)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke(AT.tss + 8, 4, 0))],
    ['#TS(20)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke(AT.tss + 8, 4, SELECTOR.data3))],
    ['#TS(88)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke(AT.tss + 8, 4, SELECTOR.readOnly))],
    ['#SS(80)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke(AT.tss + 8, 4, SELECTOR.absentData))],
    [
      '#SS(10)',
      (bench) => (bench.vector(0x20, 0xe, 3), bench.descriptor(SELECTOR.data0, { type: 0x13, limit: 3, flags: 4 })),
    ],
    [
      '#GP(0)',
      (bench) => (bench.vector(0x20, 0xe, 3), bench.descriptor(SELECTOR.code0, { type: 0x1b, limit: 0xfff, flags: 4 })),
    ],
  ];
  for (const [outcome, spoil] of cases) {
    const bench = new Bench('protected');
    bench.level(3);
    spoil(bench);
    assert.equal(bench.run(0xcd, 0x20), outcome, spoil.toString());
    assert.equal(bench.cpu.cpl, 3);
    assert.equal(bench.cpu.reg32(RSP), AT.stack3 + 0x800, 'nothing was committed');
  }
});

test('virtual-8086 mode: the handler finds the data segments on its stack, and IRETD goes back', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.vector(0x20);
  bench.stack(4, 0x1234, 0x1000, 0x20202 | 0x3000, 0xfff0, 0x2000, 0x11, 0x22, 0x33, 0x44);
  assert.equal(bench.run(0xcf), 'ok');
  assert.equal(cpu.virtual8086, true);
  assert.equal(cpu.cpl, 3);
  assert.deepEqual([cpu.selector(CS), cpu.segmentBase(CS), cpu.rip, cpu.reg32(RSP)], [0x1000, 0x10000, 0x1234, 0xfff0]);
  assert.deepEqual(
    [SS, ES, DS, FS, GS].map((segment) => cpu.selector(segment)),
    [0x2000, 0x11, 0x22, 0x33, 0x44],
  );
  assert.equal(cpu.accessRights(SS), 0xf3);
  assert.equal(deliver(cpu, external(0x20)), 'delivered');
  assert.equal(cpu.virtual8086, false);
  assert.deepEqual(bench.stacked(4, 9), [0x1234, 0x1000, 0x23202, 0xfff0, 0x2000, 0x11, 0x22, 0x33, 0x44]);
  assert.deepEqual(
    [DS, ES, FS, GS].map((segment) => cpu.accessRights(segment) & 0x10000),
    [0x10000, 0x10000, 0x10000, 0x10000],
  );
});

test('virtual-8086 mode: INT n, PUSHF, POPF and IRET need IOPL 3; a handler must be of level 0', () => {
  const bench = new Bench('protected');
  const { cpu } = bench;
  bench.vector(0x20, 0xe, 3, SELECTOR.code3);
  bench.stack(4, 0, 0x1000, 0x20202, 0xfff0, 0x2000, 0, 0, 0, 0);
  assert.equal(bench.run(0xcf), 'ok');
  for (const bytes of [[0xcd, 0x20], [0x9c], [0x9d], [0xcf]]) assert.equal(bench.run(...bytes), '#GP(0)');
  cpu.rflags = 0x23202;
  assert.equal(bench.run(0xcd, 0x20), '#GP(18)', 'the handler is not of level 0');
  assert.equal(bench.run(0x9c), 'ok');
});

test('long mode: a frame of five quadwords, on a stack aligned down to 16', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.vector(0x20);
  cpu.setSigned(RSP * 8, AT.stack0 + 0x80c);
  cpu.rflags = 0x202;
  assert.equal(deliver(cpu, external(0x20)), 'delivered');
  assert.equal(cpu.getSigned(RSP * 8), AT.stack0 + 0x800 - 40);
  assert.deepEqual(bench.stacked(8, 5), [AT.code, SELECTOR.code64, 0x202, AT.stack0 + 0x80c, SELECTOR.data0]);
  assert.equal(cpu.rflags, 2);
  assert.equal(cpu.selector(SS), SELECTOR.data0, 'SS stays at the same level');
});

test('long mode: from level 3 RSP0 is loaded and SS is null; the IST field wins', () => {
  for (const ist of [0, 1]) {
    const bench = new Bench('long');
    const { cpu } = bench;
    bench.vector(14, 0xe, 0, SELECTOR.code64, ist);
    bench.level(3);
    cpu.faultLinearLow = 0x1000;
    cpu.faultLinearHigh = -1;
    cpu.fault(14, 6);
    assert.equal(raiseException(cpu), 'delivered');
    assert.equal(cpu.getSigned(RSP * 8), (ist ? AT.ist + 0x800 : AT.stack0 + 0x400) - 48);
    assert.deepEqual(bench.stacked(8, 6), [
      6,
      AT.code,
      SELECTOR.userCode64,
      2 | RFLAGS.RF,
      AT.stack3 + 0x800,
      SELECTOR.data3,
    ]);
    assert.deepEqual([cpu.selector(SS), cpu.accessRights(SS), cpu.cpl], [0, 0x10000, 0]);
    assert.equal(cpu.get64(STATE.cr2), 0xffffffff_00001000n);
  }
});

test('long mode: from compatibility mode', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.vector(0x80, 0xe, 3);
  bench.level(3, SELECTOR.code3);
  assert.equal(cpu.code64, false);
  assert.equal(bench.run(0xcd, 0x80), 'ok');
  assert.equal(cpu.code64, true);
  assert.deepEqual(bench.stacked(8, 5), [AT.code + 2, SELECTOR.code3, 2, AT.stack3 + 0x800, SELECTOR.data3]);
});

test('long mode: error codes of bad gates, handlers and stacks', () => {
  const cases: [string, (bench: Bench) => void][] = [
    ['#GP(102)', (bench) => bench.cpu.set32(STATE.idtrLimit, 0x20 * 16 + 14)],
    ['#GP(102)', (bench) => bench.vector(0x20, 5, 3)],
    ['#GP(102)', (bench) => bench.vector(0x20, 6, 3)],
    ['#GP(102)', (bench) => bench.vector(0x20, 0xe, 0)],
    ['#NP(102)', (bench) => bench.poke(AT.idt + 0x20 * 16 + 4, 4, 0x6e00)],
    ['#GP(0)', (bench) => bench.vector(0x20, 0xe, 3, 3)],
    ['#GP(8)', (bench) => bench.vector(0x20, 0xe, 3, SELECTOR.code0)],
    ['#NP(78)', (bench) => bench.vector(0x20, 0xe, 3, SELECTOR.absent)],
    ['#TS(38)', (bench) => (bench.vector(0x20, 0xe, 3), bench.cpu.setSegment(TR, SELECTOR.tss, AT.tss, 10, 0x8b))],
    ['#GP(0)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke64(AT.idt + 0x20 * 16 + 8, 0x8000n))],
    ['#SS(0)', (bench) => (bench.vector(0x20, 0xe, 3), bench.poke64(AT.tss + 4, 0x800000001000n))],
    ['#PF(2)', (bench) => (bench.vector(0x20, 0xe, 3), bench.page(AT.stack0, 6))],
    ['#PF(0)', (bench) => (bench.vector(0x20, 0xe, 3), bench.page(AT.idt, 6))],
  ];
  for (const [outcome, spoil] of cases) {
    const bench = new Bench('long');
    bench.level(3);
    spoil(bench);
    assert.equal(bench.run(0xcd, 0x20), outcome, spoil.toString());
    assert.deepEqual([bench.cpu.cpl, bench.cpu.getSigned(RSP * 8)], [3, AT.stack3 + 0x800]);
  }
});

test('nested faults: EXT, serial delivery, double fault and shutdown as in the tables', () => {
  const raise = (bench: Bench, vector: number, code: number) => (): string => {
    bench.cpu.fault(vector, code);
    return raiseException(bench.cpu);
  };
  let bench = new Bench('long');
  bench.vector(11);
  assert.equal(
    seen(bench, () => deliver(bench.cpu, external(0x20))),
    'shutdown 32 13(103)<32 13(6b)<13 8(0) 13(43)<8',
  );
  bench = new Bench('long');
  bench.vector(13);
  assert.equal(
    seen(bench, () => deliver(bench.cpu, external(0x20))),
    'delivered 32 13(103)<32',
  );
  assert.equal(bench.stacked(8, 1)[0], 0x103, 'EXT is set for an external interrupt');
  bench = new Bench('long');
  bench.vector(13);
  assert.equal(bench.runAndDeliver(0xcd, 0x20), 'delivered');
  assert.equal(bench.stacked(8, 1)[0], 0x102, 'and clear for INT n');
  bench = new Bench('long');
  bench.vector(8);
  assert.equal(seen(bench, raise(bench, 0, -1)), 'delivered 0 13(3)<0 8(0)');
  bench = new Bench('long');
  bench.vector(13);
  assert.equal(seen(bench, raise(bench, 6, -1)), 'delivered 6 13(33)<6', 'a benign exception first');
  bench = new Bench('long');
  bench.vector(8);
  assert.equal(seen(bench, raise(bench, 14, 0)), 'delivered 14(0) 13(73)<14 8(0)');
  bench = new Bench('long');
  bench.vector(14, 0xe, 0, SELECTOR.code64, 1);
  bench.vector(13);
  bench.page(AT.stack0, 6);
  assert.equal(
    seen(bench, raise(bench, 13, 0)),
    'delivered 13(0) 14(2)<13',
    'a page fault in delivering a contributory one',
  );
});

test('the hook stops a delivery, and the original event is there for it', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  eventHooks(cpu).interceptEvent = (event) => event.vector === 13;
  assert.equal(deliver(cpu, external(0x20)), 'intercepted');
  assert.equal(cpu.rip, AT.code);
  eventHooks(cpu).interceptEvent = (event) => event.vector === 3;
  bench.vector(3);
  assert.equal(bench.run(0xcc), 'exit');
});

test('an NMI blocks NMIs until IRET; any event ends the shadow of MOV SS and STI', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.vector(2);
  cpu.set32(STATE.interruptibility, 3);
  assert.equal(deliver(cpu, { vector: 2, kind: 'nmi', errorCode: -1 }), 'delivered');
  assert.equal(cpu.get32(STATE.interruptibility), 8);
  assert.equal(bench.run(0x48, 0xcf), 'ok');
  assert.equal(cpu.get32(STATE.interruptibility), 0);
});

test('single step: DR6.BS, DR7.GD cleared, RF not pushed', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.vector(1);
  cpu.set32(STATE.dr6, 0xffff0ff0);
  cpu.set32(STATE.dr7, 0x2400);
  cpu.rflags = 2 | RFLAGS.TF | RFLAGS.RF;
  assert.equal(debugTrap(cpu, SINGLE_STEP), 'delivered');
  assert.deepEqual([cpu.get32(STATE.dr6), cpu.get32(STATE.dr7)], [0xffff4ff0, 0x400]);
  assert.equal(bench.stacked(8, 3)[2], 2 | RFLAGS.TF);
  assert.equal(cpu.rflags, 2);
});

test('an injected page fault leaves CR2, an injected #DB the debug registers', () => {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.vector(14);
  bench.vector(1);
  cpu.set64(STATE.cr2, 0x1234n);
  cpu.set32(STATE.dr7, 0x2400);
  assert.equal(deliver(cpu, { vector: 14, kind: 'fault', errorCode: 0 }), 'delivered');
  assert.equal(deliver(cpu, { vector: 1, kind: 'fault', errorCode: -1 }), 'delivered');
  assert.deepEqual([cpu.get64(STATE.cr2), cpu.get32(STATE.dr7)], [0x1234n, 0x2400]);
});

test("the accessed bit of the handler's code segment is set in the table", () => {
  const bench = new Bench('long');
  bench.descriptor(SELECTOR.free, { type: 0x1a, flags: 0xa });
  bench.vector(0x20, 0xe, 0, SELECTOR.free);
  assert.equal(deliver(bench.cpu, external(0x20)), 'delivered');
  assert.equal(bench.peek(AT.gdt + SELECTOR.free + 5, 1), 0x9b);
  assert.equal(bench.cpu.accessRights(CS), 0xa09b);
  assert.equal(bench.cpu.reg32(RAX), 0);
});
