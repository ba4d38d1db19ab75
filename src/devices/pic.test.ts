// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pic } from './pic.ts';

/** As a PC's firmware and Linux set it up: vectors 30h and 38h, nothing masked. */
function initialized(word4 = 0x01): Pic {
  const pic = new Pic();
  const words = [
    [0x20, 0x11],
    [0x21, 0x30],
    [0x21, 0x04],
    [0x21, word4],
    [0xa0, 0x11],
    [0xa1, 0x38],
    [0xa1, 0x02],
    [0xa1, word4],
  ] as const;
  for (const [port, value] of words) pic.writeByte(port, value);
  return pic;
}

const inService = (pic: Pic, port: 0x20 | 0xa0): number => {
  pic.writeByte(port, 0x0b);
  return pic.readByte(port);
};
const requests = (pic: Pic, port: 0x20 | 0xa0): number => {
  pic.writeByte(port, 0x0a);
  return pic.readByte(port);
};

test('a request raises the output until it is acknowledged', () => {
  const pic = initialized();
  const seen: boolean[] = [];
  pic.outputChanged = (asserted) => seen.push(asserted);
  pic.setLine(4, true);
  assert.equal(pic.output, true);
  assert.equal(requests(pic, 0x20), 0x10);
  assert.equal(pic.acknowledge(), 0x34);
  assert.equal(inService(pic, 0x20), 0x10);
  assert.equal(requests(pic, 0x20), 0);
  pic.writeByte(0x20, 0x20);
  assert.equal(inService(pic, 0x20), 0);
  assert.deepEqual(seen, [true, false]);
});

test('an edge counts once, a level again after each end of interrupt', () => {
  const pic = initialized();
  pic.writeByte(0x4d0, 0xff);
  assert.equal(pic.readByte(0x4d0), 0xf8);
  pic.writeByte(0x4d1, 0xff);
  assert.equal(pic.readByte(0x4d1), 0xde);
  pic.writeByte(0x4d0, 0x20);
  for (const [line, again] of [
    [4, false],
    [5, true],
  ] as const) {
    pic.setLine(line, true);
    assert.equal(pic.acknowledge(), 0x30 + line);
    pic.writeByte(0x20, 0x20);
    assert.equal(pic.output, again, `IRQ ${line}`);
    pic.setLine(line, false);
    assert.equal(pic.output, false);
  }
  pic.setLine(4, true);
  assert.equal(pic.output, true);
});

test('a request that vanishes before the acknowledge is a spurious IRQ 7 or 15', () => {
  const pic = initialized();
  pic.setLine(3, true);
  pic.setLine(3, false);
  assert.equal(pic.output, false);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(inService(pic, 0x20), 0);

  // The second controller's request vanishes after the first one has frozen its own.
  pic.setLine(10, true);
  pic.state.chips[1].interruptRequest = 0;
  assert.equal(pic.acknowledge(), 0x3f);
  assert.equal(inService(pic, 0x20), 0x04, 'the cascade is in service and wants an EOI');
  assert.equal(inService(pic, 0xa0), 0);
});

test('a real IRQ 7 is in service, which is how software tells', () => {
  const pic = initialized();
  pic.setLine(7, true);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(inService(pic, 0x20), 0x80);
});

test('the cascade: vectors, both in service, next request after both EOIs', () => {
  const pic = initialized();
  pic.setLine(12, true);
  pic.setLine(14, true);
  assert.equal(pic.acknowledge(), 0x3c);
  assert.equal(inService(pic, 0x20), 0x04);
  assert.equal(inService(pic, 0xa0), 0x10);
  assert.equal(pic.output, false);
  pic.writeByte(0xa0, 0x20);
  assert.equal(pic.output, false, 'IR2 is still in service in the first controller');
  pic.writeByte(0x20, 0x20);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x3e);
});

test('the cascade ranks between IRQ 1 and IRQ 3', () => {
  const pic = initialized();
  for (const line of [3, 15, 8, 1]) pic.setLine(line, true);
  const order: number[] = [];
  while (pic.output) {
    const vector = pic.acknowledge();
    order.push(vector);
    if (vector >= 0x38) pic.writeByte(0xa0, 0x20);
    pic.writeByte(0x20, 0x20);
  }
  assert.deepEqual(order, [0x31, 0x38, 0x3f, 0x33]);
});

test('special fully nested mode lets a higher request of the second controller through', () => {
  for (const [word4, through] of [
    [0x01, false],
    [0x11, true],
  ] as const) {
    const pic = initialized(word4);
    pic.setLine(12, true);
    pic.acknowledge();
    pic.setLine(9, true);
    assert.equal(pic.output, through);
    if (through) assert.equal(pic.acknowledge(), 0x39);
  }
});

test('initialization clears mask and service, and forgets edges', () => {
  const pic = initialized();
  pic.writeByte(0x21, 0xaa);
  pic.setLine(4, true);
  pic.setLine(6, true);
  assert.equal(pic.acknowledge(), 0x34);
  pic.writeByte(0x20, 0x11);
  assert.deepEqual([requests(pic, 0x20), inService(pic, 0x20)], [0, 0]);
  for (const word of [0x50, 0x04, 0x01]) pic.writeByte(0x21, word);
  assert.equal(pic.readByte(0x21), 0);
  assert.equal(pic.output, false, 'an edge before initialization is lost');
  pic.setLine(4, false);
  pic.setLine(4, true);
  assert.equal(pic.acknowledge(), 0x54);
});

test('initialization without ICW4, and single', () => {
  const pic = new Pic();
  pic.writeByte(0x20, 0x12); // single, no ICW4
  pic.writeByte(0x21, 0x47);
  pic.writeByte(0x21, 0xfe); // already the mask
  assert.equal(pic.readByte(0x21), 0xfe);
  pic.setLine(0, true);
  assert.equal(pic.acknowledge(), 0x40);
});

test('automatic end of interrupt, with and without rotation', () => {
  const pic = initialized(0x03);
  pic.setLine(4, true);
  pic.acknowledge();
  assert.equal(inService(pic, 0x20), 0);
  assert.equal(pic.state.chips[0].lowestPriority, 7);
  pic.writeByte(0x20, 0x80);
  pic.setLine(4, false);
  pic.setLine(4, true);
  pic.acknowledge();
  assert.equal(pic.state.chips[0].lowestPriority, 4);
  pic.writeByte(0x20, 0x00);
  pic.setLine(6, true);
  pic.acknowledge();
  assert.equal(pic.state.chips[0].lowestPriority, 4);
});

test('rotation on end of interrupt: the datasheet example, IR4 served becomes lowest', () => {
  const pic = initialized();
  pic.setLine(4, true);
  pic.setLine(6, true);
  assert.equal(pic.acknowledge(), 0x34);
  pic.writeByte(0x20, 0xa0);
  assert.equal(pic.state.chips[0].lowestPriority, 4);
  pic.setLine(3, true);
  assert.equal(pic.acknowledge(), 0x36, 'IR6 now ranks above IR3');
  pic.writeByte(0x20, 0xe6); // rotate on specific EOI 6
  assert.equal(inService(pic, 0x20), 0);
  assert.equal(pic.state.chips[0].lowestPriority, 6);
  pic.writeByte(0x20, 0xc2); // set priority
  assert.equal(pic.acknowledge(), 0x33);
  pic.writeByte(0x20, 0x40); // no operation
  assert.equal(inService(pic, 0x20), 0x08);
  pic.writeByte(0x20, 0x63); // specific EOI
  assert.equal(inService(pic, 0x20), 0);
});

test('special mask mode: a masked interrupt in service blocks nobody and is not ended by chance', () => {
  const pic = initialized();
  pic.setLine(3, true);
  pic.acknowledge();
  pic.setLine(5, true);
  assert.equal(pic.output, false);
  pic.writeByte(0x20, 0x68); // set special mask mode
  assert.equal(pic.output, false);
  pic.writeByte(0x21, 0x08);
  assert.equal(pic.acknowledge(), 0x35);
  pic.writeByte(0x20, 0x20);
  assert.equal(inService(pic, 0x20), 0x08);
  pic.writeByte(0x20, 0x20);
  assert.equal(inService(pic, 0x20), 0x08, 'non-specific EOI spares the masked one');
  pic.writeByte(0x20, 0x48); // reset special mask mode
  pic.writeByte(0x20, 0x20);
  assert.equal(inService(pic, 0x20), 0);
});

test('polling acknowledges', () => {
  const pic = initialized();
  pic.writeByte(0x20, 0x0c);
  assert.equal(pic.readByte(0x20), 0);
  pic.setLine(6, true);
  pic.writeByte(0x20, 0x0c);
  assert.equal(pic.readByte(0x20), 0x86);
  assert.equal(inService(pic, 0x20), 0x40);
  assert.equal(pic.output, false);
});

test('16-bit access reaches both registers', () => {
  const pic = initialized();
  pic.writePort(0x20, 2, 0x5a0b);
  assert.equal(pic.readByte(0x21), 0x5a);
  assert.equal(pic.readPort(0x20, 2), 0x5a00);
});

test('priority agrees with its definition', () => {
  const byte = fc.integer({ min: 0, max: 255 });
  const bit = fc.integer({ min: 0, max: 1 });
  fc.assert(
    fc.property(byte, byte, byte, fc.integer({ min: 0, max: 7 }), bit, (request, service, mask, lowest, special) => {
      const pic = initialized();
      const lines = request & ~0x04;
      pic.writeByte(0x21, 0xff);
      for (let line = 0; line < 8; line++) if ((lines & (1 << line)) !== 0) pic.setLine(line, true);
      const chip = pic.state.chips[0];
      Object.assign(chip, { inService: service, lowestPriority: lowest, specialMask: special });
      pic.writeByte(0x21, mask);
      const rank = (line: number): number => (line - lowest - 1 + 8) % 8;
      const all = [0, 1, 2, 3, 4, 5, 6, 7];
      const has = (set: number, line: number): boolean => ((set >> line) & 1) === 1;
      const served = all.filter((line) => has(service, line) && !(special === 1 && has(mask, line)));
      const ceiling = Math.min(8, ...served.map(rank));
      const able = all.filter((line) => has(lines, line) && !has(mask, line) && rank(line) < ceiling);
      const best = able.toSorted((a, b) => rank(a) - rank(b))[0];
      assert.equal(pic.output, best !== undefined);
      assert.equal(pic.acknowledge(), 0x30 + (best ?? 7));
    }),
  );
});

test('restored, it goes on', () => {
  const pic = initialized();
  pic.setLine(12, true);
  const saved = pic.save();
  pic.acknowledge();
  const other = new Pic();
  other.restore(saved);
  assert.equal(other.output, true);
  assert.equal(other.acknowledge(), 0x3c);
  assert.equal(saved.chips[1].inService, 0, 'a copy');
});
