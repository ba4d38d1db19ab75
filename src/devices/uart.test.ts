// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeviceBus } from './bus.ts';
import { Uart16550 } from './uart.ts';

const [RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const NO_INTERRUPT = 0x01;
const OUT2 = 0x08;

function machine() {
  const bus = new DeviceBus();
  const sent: number[] = [];
  const input: number[] = [];
  const lines: boolean[] = [];
  const uart = new Uart16550({
    name: 'COM1',
    base: 0x3f8,
    line: { set: (asserted) => void (lines.at(-1) !== asserted && lines.push(asserted)) },
    channel: { send: (byte) => void sent.push(byte), receive: () => input.shift() ?? -1 },
  });
  uart.claim(bus);
  return {
    bus,
    uart,
    sent,
    lines,
    read: (register: number) => bus.readPort(0x3f8 + register, 1),
    write: (register: number, value: number) => bus.writePort(0x3f8 + register, 1, value),
    line: () => lines.at(-1) ?? false,
    type: (...bytes: number[]) => {
      input.push(...bytes);
      uart.poll();
    },
    waiting: input,
  };
}

describe('the 16550A', () => {
  it('sends at once and is always idle', () => {
    const { read, write, sent } = machine();
    for (const byte of [0x68, 0x69]) write(RBR, byte);
    assert.deepEqual(sent, [0x68, 0x69]);
    assert.equal(read(LSR), 0x60);
  });

  it('has the divisor latch behind DLAB, and keeps it', () => {
    const { read, write, sent, bus } = machine();
    write(LCR, 0x83);
    write(0, 0x0c);
    write(1, 0x01);
    assert.deepEqual([read(0), read(1)], [0x0c, 0x01]);
    write(LCR, 0x03);
    assert.deepEqual([read(RBR), read(IER), sent.length], [0, 0, 0]);
    write(LCR, 0x83);
    bus.writePort(0x3f8, 2, 0x1234);
    assert.equal(bus.readPort(0x3f8, 2), 0x1234);
    assert.equal(read(LCR), 0x83);
  });

  it('keeps scratch, and only the bits of IER and MCR that exist', () => {
    const { read, write } = machine();
    write(SCR, 0xa5);
    write(IER, 0xff);
    write(MCR, 0xff);
    assert.deepEqual([read(SCR), read(IER), read(MCR)], [0xa5, 0x0f, 0x1f]);
  });

  it('passes the test for UARTs that do not reassert THRE (Linux)', () => {
    const { read, write } = machine();
    write(IER, 0x02);
    assert.equal(read(IIR), 0x02);
    assert.equal(read(IIR), NO_INTERRUPT, 'reading IIR acknowledged it');
    write(IER, 0x00);
    assert.equal(read(IIR), NO_INTERRUPT);
    write(IER, 0x02);
    assert.equal(read(IIR), 0x02, 'enabling reasserts');
  });

  it('does not reassert THRE when IER is written with it still enabled', () => {
    const { read, write } = machine();
    write(IER, 0x02);
    read(IIR);
    write(IER, 0x03);
    assert.equal(read(IIR), NO_INTERRUPT);
  });

  it('raises the transmitter interrupt after each byte, and drives its line through OUT2', () => {
    const { read, write, line, lines } = machine();
    write(IER, 0x02);
    assert.equal(line(), false, 'OUT2 is off');
    write(MCR, OUT2);
    assert.equal(line(), true);
    read(IIR);
    assert.equal(line(), false);
    write(RBR, 0x41);
    assert.equal(line(), true);
    read(LSR);
    assert.equal(line(), true, 'LSR does not acknowledge');
    write(IER, 0);
    assert.equal(line(), false);
    assert.deepEqual(lines, [false, true, false, true, false]);
  });

  it('receives into 16 bytes, takes no more input than it has room for', () => {
    const { read, write, type, waiting } = machine();
    write(IIR, 0x01);
    type(...Array.from({ length: 20 }, (_, index) => index));
    assert.equal(waiting.length, 4);
    assert.equal(read(LSR) & 0x03, 0x01, 'data ready, no overrun');
    assert.deepEqual(
      Array.from({ length: 16 }, () => read(RBR)),
      Array.from({ length: 16 }, (_, index) => index),
    );
    assert.equal(read(LSR) & 0x01, 0);
    type();
    assert.deepEqual([read(RBR), waiting.length], [16, 0]);
  });

  it('has one byte of room without FIFOs', () => {
    const { read, type, waiting } = machine();
    type(1, 2);
    assert.deepEqual([read(RBR), waiting.length], [1, 1]);
  });

  it('tells the trigger level from the character timeout', () => {
    const { read, write, type } = machine();
    write(IIR, 0x41);
    write(IER, 0x01);
    type(1, 2, 3);
    assert.equal(read(IIR), 0xcc, 'below the trigger of 4');
    type(4);
    assert.equal(read(IIR), 0xc4);
    read(RBR);
    assert.equal(read(IIR), 0xcc);
    for (let count = 0; count < 3; count++) read(RBR);
    assert.equal(read(IIR), 0xc1);
  });

  it('reports its sources by priority', () => {
    const { read, write, type } = machine();
    write(MCR, 0x10);
    write(IER, 0x0f);
    write(RBR, 1);
    write(RBR, 2);
    assert.equal(read(IIR), 0x06, 'overrun');
    assert.equal(read(LSR), 0x63);
    assert.equal(read(LSR), 0x61, 'reading cleared the error');
    assert.equal(read(IIR), 0x04);
    assert.equal(read(RBR), 2, 'without FIFOs the newer byte stays');
    assert.equal(read(IIR), 0x02);
    assert.equal(read(IIR), 0x00, 'modem inputs changed when loopback began');
    read(MSR);
    assert.equal(read(IIR), NO_INTERRUPT);
    type();
  });

  it('shows modem outputs as inputs in loopback (autoconfig of Linux)', () => {
    const { read, write, sent } = machine();
    assert.equal(read(MSR), 0xb0);
    write(MCR, 0x10 | 0x0a);
    assert.equal(read(MSR) & 0xf0, 0x90);
    write(RBR, 0x77);
    assert.deepEqual(sent, [], 'nothing leaves');
    assert.equal(read(RBR), 0x77);
    write(MCR, 0);
    assert.equal(read(MSR), 0xb2, 'DSR came back');
    assert.equal(read(MSR), 0xb0);
  });

  it('reports only the end of a ring, and drives no line in loopback', () => {
    const { read, write, line } = machine();
    write(IER, 0x08);
    write(MCR, 0x1b);
    read(MSR);
    write(MCR, 0x1f);
    assert.equal(read(MSR), 0xf0);
    write(MCR, 0x1b);
    assert.equal(read(IIR), 0x00);
    assert.equal(line(), false);
    assert.equal(read(MSR), 0xb4);
  });

  it('has a FIFO of 16 in loopback, whose overrun keeps the old bytes', () => {
    const { read, write } = machine();
    write(IIR, 0x07);
    write(MCR, 0x10);
    for (let byte = 0; byte < 256; byte++) write(RBR, byte);
    assert.equal(read(LSR) & 0x02, 0x02);
    const received: number[] = [];
    while (read(LSR) & 1) received.push(read(RBR));
    assert.deepEqual(
      received,
      Array.from({ length: 16 }, (_, index) => index),
    );
  });

  it('is a 16550A and nothing later: bits 7:6 of IIR, no bit 5', () => {
    const { read, write } = machine();
    write(IIR, 0xe7);
    assert.equal(read(IIR), 0xc1);
    write(IIR, 0);
    assert.equal(read(IIR), 0x01);
  });

  it('empties the receiver on request and when FIFOs are switched', () => {
    const { read, write, type } = machine();
    write(IIR, 0x01);
    type(1, 2);
    write(IIR, 0x03);
    assert.equal(read(LSR) & 1, 0);
    type(3);
    write(IIR, 0x00);
    assert.equal(read(LSR) & 1, 0);
  });

  it('saves and restores everything, line included', () => {
    const first = machine();
    first.write(IIR, 0xc1);
    first.write(IER, 0x03);
    first.write(MCR, OUT2);
    first.write(SCR, 0x12);
    first.type(7, 8, 9);
    const second = machine();
    second.uart.restore(first.uart.save());
    assert.equal(second.line(), true);
    assert.equal(second.read(IIR), 0xcc);
    assert.deepEqual([second.read(RBR), second.read(RBR), second.read(RBR), second.read(SCR)], [7, 8, 9, 0x12]);
    assert.equal(first.read(RBR), 7, 'the original is untouched');
    second.uart.reset();
    assert.deepEqual([second.line(), second.read(IER)], [false, 0]);
  });
});
