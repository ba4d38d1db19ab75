// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ApicBench } from './lapic.testing.ts';
import { MSR_APIC_BASE } from './lapic.ts';

const edge = (vector: number) =>
  ({ vector, deliveryMode: 0, logical: false, destination: 0, broadcast: true, levelTriggered: false }) as const;

test('the registers after power-up', () => {
  const [, apic] = new ApicBench(2).apics;
  // prettier-ignore
  const rows = [
    [ 0x020, 0x0100_0000 ], [ 0x030, 0x0005_0014 ], [ 0x080, 0 ], [ 0x0a0, 0 ], [ 0x0b0, 0 ], [ 0x0d0, 0 ],
    [ 0x0e0, 0xffff_ffff ], [ 0x0f0, 0x0000_00ff ], [ 0x100, 0 ], [ 0x170, 0 ], [ 0x280, 0 ], [ 0x300, 0 ],
    [ 0x320, 0x0001_0000 ], [ 0x330, 0x0001_0000 ], [ 0x340, 0x0001_0000 ], [ 0x350, 0x0001_0000 ],
    [ 0x360, 0x0001_0000 ], [ 0x370, 0x0001_0000 ], [ 0x380, 0 ], [ 0x390, 0 ], [ 0x3e0, 0 ],
  ] as const;
  for (const [offset, value] of rows) assert.equal(apic.readMemory(offset, 4), value, offset.toString(16));
  assert.equal(apic.state.errors, 0);
});

test('what software can write, through memory and MSRs alike', () => {
  // prettier-ignore
  const rows = [
    [ 0x080, 0x0000_00ff ], [ 0x0f0, 0x0000_03ff ], [ 0x320, 0x0007_00ff ], [ 0x330, 0x0001_07ff ],
    [ 0x340, 0x0001_07ff ], [ 0x350, 0x0001_a7ff ], [ 0x360, 0x0001_a7ff ], [ 0x370, 0x0001_00ff ],
    [ 0x3e0, 0x0000_000b ],
  ] as const;
  for (const [offset, writable] of rows) {
    const [memory] = new ApicBench(1).enable().apics;
    memory.writeMemory(offset, 4, 0xffff_ffff);
    assert.equal(memory.readMemory(offset, 4), writable, offset.toString(16));

    const [msr] = new ApicBench(1).enable().x2apic().apics;
    const index = 0x800 + (offset >> 4);
    for (let bit = 0; bit < 32; bit++) {
      const value = (1 << bit) >>> 0;
      const readOnly = offset >= 0x320 && offset <= 0x370 && (value & 0x5000) !== 0;
      assert.equal(msr.writeMsr(index, value, 0), (writable & value) !== 0 || readOnly, `${index.toString(16)} ${bit}`);
      assert.equal(msr.writeMsr(index, value, 1), false, 'the high half is reserved');
    }
  }
});

test('narrow and misplaced accesses', () => {
  const [apic] = new ApicBench(1).apics;
  assert.equal(apic.readMemory(0x32, 2), 0x0005);
  assert.equal(apic.readMemory(0x30, 1), 0x14);
  assert.equal(apic.readMemory(0x34, 4), 0);
  apic.writeMemory(0x80, 1, 0x55);
  apic.writeMemory(0x84, 4, 0x55);
  assert.equal(apic.taskPriority, 0);
});

test('interrupts are taken in the order of their class, above the processor priority', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  for (const vector of [0x31, 0x55, 0x42]) bench.bus.deliver(edge(vector));
  assert.equal(apic.pendingVector(), 0x55);
  assert.equal(apic.acknowledge(), 0x55);
  assert.equal(apic.readMemory(0xa0, 4), 0x50);
  assert.equal(apic.pendingVector(), -1, '42h is of a lower class');
  bench.bus.deliver(edge(0x5f));
  assert.equal(apic.pendingVector(), -1, '5Fh is of the same class');
  bench.bus.deliver(edge(0x60));
  assert.equal(apic.acknowledge(), 0x60);
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.pendingVector(), -1);
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.acknowledge(), 0x5f);
  apic.writeMemory(0xb0, 4, 0);
  apic.cr8 = 4;
  assert.deepEqual([apic.taskPriority, apic.cr8, apic.pendingVector()], [0x40, 4, -1]);
  apic.cr8 = 3;
  assert.equal(apic.acknowledge(), 0x42);
  assert.equal(apic.acknowledge(), 0xff, 'nothing pending: the spurious vector');
  assert.equal(apic.processorPriority, 0x40, 'which does not enter service');
});

test('the processor priority is its formula', () => {
  const byte = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(byte, fc.array(fc.integer({ min: 16, max: 255 }), { maxLength: 4 }), (task, vectors) => {
      const [apic] = new ApicBench().apics;
      apic.taskPriority = task;
      for (const vector of vectors) apic.state.registers[0x10 + (vector >> 5)] |= 1 << (vector & 31);
      const service = Math.max(0, ...vectors);
      const expected = task >> 4 >= service >> 4 ? task : service & 0xf0;
      assert.equal(apic.processorPriority, expected);
    }),
  );
});

test('the processor hears of everything that may change the answer', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  const heard = (act: () => void): boolean => {
    bench.changes.length = 0;
    act();
    return bench.changes.length > 0;
  };
  assert.ok(heard(() => bench.bus.deliver(edge(0x40))));
  assert.ok(heard(() => (apic.cr8 = 5)));
  assert.ok(heard(() => apic.writeMemory(0x80, 4, 0)));
  apic.acknowledge();
  assert.ok(heard(() => apic.writeMemory(0xb0, 4, 0)));
  assert.ok(heard(() => apic.writeMemory(0xf0, 4, 0xff)));
  assert.ok(heard(() => apic.initialize()));
});

test('software disabled: fixed interrupts are refused and the LVT is masked, what was requested stays', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x350, 4, 0x700);
  bench.bus.deliver(edge(0x40));
  apic.writeMemory(0x370, 4, 0xe0);
  apic.writeMemory(0xf0, 4, 0xff);
  assert.equal(apic.readMemory(0x370, 4), 0x1_00e0);
  assert.equal(apic.readMemory(0x350, 4), 0x1_0700);
  apic.writeMemory(0x350, 4, 0x700);
  assert.equal(apic.readMemory(0x350, 4), 0x1_0700, 'cannot be unmasked');
  assert.equal(bench.bus.deliver(edge(0x50)), false);
  assert.equal(apic.pendingVector(), 0x40);
  assert.equal(bench.bus.deliver({ ...edge(0), deliveryMode: 4 }), true);
  assert.deepEqual(bench.signals, ['nmi 0']);
});

test('errors: illegal vectors and addresses, latched by a write, one interrupt each', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x370, 4, 0xe0);
  apic.writeMemory(0x300, 4, 0x4_000f);
  assert.equal(apic.acknowledge(), 0xe0);
  assert.equal(apic.readMemory(0x280, 4), 0, 'not before the write');
  apic.writeMemory(0x280, 4, 0);
  assert.equal(apic.readMemory(0x280, 4), 0x20);
  bench.bus.deliver(edge(0x0e));
  apic.readMemory(0x040, 4);
  apic.writeMemory(0x3f0, 4, 0x40);
  apic.writeMemory(0x280, 4, 0);
  assert.equal(apic.readMemory(0x280, 4), 0xc0);
  apic.writeMemory(0x280, 4, 0);
  assert.equal(apic.readMemory(0x280, 4), 0);
  apic.writeMemory(0x370, 4, 0x05); // an illegal vector for errors
  apic.readMemory(0x040, 4);
  assert.equal(apic.state.errors, 0xc0);
});

test('IA32_APIC_BASE: the transitions of the state diagram', () => {
  const [xapic, x2apic, disabled, invalid] = [0xfee0_0900, 0xfee0_0d00, 0xfee0_0100, 0xfee0_0500];
  // prettier-ignore
  const rows = [
    [ [],                 xapic,    true  ], [ [],                 x2apic,   true  ],
    [ [],                 disabled, true  ], [ [],                 invalid,  false ],
    [ [x2apic],           xapic,    false ], [ [x2apic],           x2apic,   true  ],
    [ [x2apic],           disabled, true  ], [ [x2apic],           invalid,  false ],
    [ [disabled],         xapic,    true  ], [ [disabled],         x2apic,   false ],
    [ [disabled],         disabled, true  ], [ [disabled],         invalid,  false ],
    [ [x2apic, disabled, xapic], x2apic, true ],
  ] as const;
  for (const [before, value, valid] of rows) {
    const [apic] = new ApicBench().apics;
    for (const step of before) assert.equal(apic.writeMsr(MSR_APIC_BASE, step, 0), true);
    const low = apic.state.baseLow;
    assert.equal(apic.writeMsr(MSR_APIC_BASE, value, 0), valid, `${before.join()} to ${value.toString(16)}`);
    assert.equal(apic.readMsr(MSR_APIC_BASE), true);
    assert.equal(apic.low, valid ? value : low);
  }
});

test('IA32_APIC_BASE: reserved bits, the page, the bootstrap flag', () => {
  const [bootstrap, other] = new ApicBench(2, { x2apic: false }).apics;
  assert.equal(bootstrap.state.baseLow, 0xfee0_0900);
  assert.equal(other.state.baseLow, 0xfee0_0800);
  for (const low of [0xfee0_0801, 0xfee0_0880, 0xfee0_0a00, 0xfee0_0c00])
    assert.equal(other.writeMsr(MSR_APIC_BASE, low, 0), false);
  assert.equal(other.writeMsr(MSR_APIC_BASE, 0xfee0_0800, 1 << 14), false, 'above 46 bits');
  assert.equal(other.writeMsr(MSR_APIC_BASE, 0xfee0_0800, 1 << 13), true);
  assert.equal(other.baseAddress, 2 ** 45 + 0xfee0_0000);
  assert.equal(other.memoryMapped, true);
});

test('disabled and enabled again, it starts from the reset state', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x80, 4, 0x30);
  bench.bus.deliver(edge(0x50));
  apic.writeMsr(MSR_APIC_BASE, 0xfee0_0100, 0);
  assert.equal(apic.memoryMapped, false);
  assert.equal(bench.bus.deliver(edge(0x60)), false);
  apic.writeMsr(MSR_APIC_BASE, 0xfee0_0900, 0);
  assert.equal(apic.pendingVector(), -1);
  assert.equal(apic.taskPriority, 0);
  assert.equal(apic.readMemory(0xf0, 4), 0xff);
});

test('globally disabled, LINT0 and LINT1 are INTR and NMI', () => {
  const bench = new ApicBench();
  const [apic] = bench.apics;
  bench.bus.setLocalInputs(0, true);
  assert.equal(apic.interruptPending(), false, 'masked after reset');
  apic.writeMsr(MSR_APIC_BASE, 0xfee0_0100, 0);
  assert.equal(apic.interruptPending(), true);
  assert.equal(apic.acknowledge(), 0x20);
  bench.bus.setLocalInputs(1, true);
  bench.bus.setLocalInputs(1, true);
  assert.deepEqual(bench.signals, ['nmi 0']);
});

test('virtual wire: the 8259A pair through LINT0, NMI through LINT1', () => {
  const bench = new ApicBench();
  const [apic] = bench.apics;
  apic.enterVirtualWireMode();
  bench.bus.setLocalInputs(0, true);
  assert.equal(apic.externalInterruptPending, true);
  assert.equal(apic.pendingVector(), -1);
  apic.cr8 = 15;
  assert.equal(apic.interruptPending(), true, 'no priority holds it back');
  assert.equal(apic.acknowledge(), 0x20);
  assert.equal(apic.readMemory(0xa0, 4), 0xf0);
  bench.bus.setLocalInputs(0, false);
  assert.equal(apic.interruptPending(), false);
  bench.bus.setLocalInputs(1, true);
  bench.bus.setLocalInputs(1, false);
  bench.bus.setLocalInputs(1, true);
  assert.deepEqual(bench.signals, ['nmi 0', 'nmi 0']);
});

test('LINT0 level triggered: remote IRR until EOI, then again', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x350, 4, 0x8061);
  bench.bus.setLocalInputs(0, true);
  assert.equal(apic.readMemory(0x350, 4), 0xc061);
  assert.equal(apic.acknowledge(), 0x61);
  assert.equal(apic.pendingVector(), -1);
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.acknowledge(), 0x61);
  bench.bus.setLocalInputs(0, false);
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.readMemory(0x350, 4), 0x8061);
  assert.equal(apic.pendingVector(), -1);
  apic.writeMemory(0x350, 4, 0x62);
  bench.bus.setLocalInputs(0, true);
  assert.equal(apic.acknowledge(), 0x62, 'an edge');
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.pendingVector(), -1);
});

test('LINT0 level triggered: unmasked while asserted it asks, rewritten it keeps remote IRR', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x350, 4, 0x1_8061);
  bench.bus.setLocalInputs(0, true);
  assert.equal(apic.pendingVector(), -1);
  apic.writeMemory(0x350, 4, 0x8061);
  assert.equal(apic.acknowledge(), 0x61);
  apic.writeMemory(0x350, 4, 0x8061);
  assert.equal(apic.readMemory(0x350, 4), 0xc061);
  apic.writeMemory(0x350, 4, 0x61);
  assert.equal(apic.readMemory(0x350, 4), 0x61);
});

test('vector 16 is the first that is legal', () => {
  const bench = new ApicBench().enable().x2apic();
  const [apic] = bench.apics;
  for (const msr of [0x830, 0x83f]) {
    apic.writeMsr(msr, 0x10, 0);
    assert.equal(apic.acknowledge(), 0x10);
    apic.writeMsr(0x80b, 0, 0);
    apic.writeMsr(msr, 0x0f, 0);
    assert.deepEqual([apic.pendingVector(), apic.state.errors], [-1, 0x20]);
    apic.writeMsr(0x828, 0, 0);
    assert.equal(apic.state.errors, 0);
  }
});

test('performance monitoring: the entry masks itself; thermal does not', () => {
  const bench = new ApicBench().enable();
  const [apic] = bench.apics;
  apic.writeMemory(0x340, 4, 0x400);
  apic.raiseLocal('performance');
  apic.raiseLocal('performance');
  assert.deepEqual(bench.signals, ['nmi 0']);
  assert.equal(apic.readMemory(0x340, 4), 0x1_0400);
  apic.writeMemory(0x330, 4, 0x77);
  apic.raiseLocal('thermal');
  assert.equal(apic.acknowledge(), 0x77);
  assert.equal(apic.readMemory(0x330, 4), 0x77);
});

test('x2APIC: which MSRs exist, and how', () => {
  const [apic] = new ApicBench(1, {}, [0x1_2345]).enable().apics;
  assert.equal(apic.readMsr(0x802), false, 'not in xAPIC mode');
  assert.equal(apic.writeMsr(0x808, 0, 0), false);
  apic.writeMsr(MSR_APIC_BASE, 0xfee0_0d00, 0);
  const exists = (count: number, test: (msr: number) => boolean): number[] =>
    Array.from({ length: count }, (_, index) => 0x800 + index).filter(test);
  const range = (first: number, last: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index);
  assert.deepEqual(
    exists(0x100, (msr) => apic.readMsr(msr)),
    [0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, ...range(0x810, 0x828), 0x830, ...range(0x832, 0x839), 0x83e],
  );
  assert.deepEqual(
    exists(0x100, (msr) => apic.writeMsr(msr, 0, 0)),
    [0x808, 0x80b, 0x80f, 0x828, 0x830, ...range(0x832, 0x838), 0x83e, 0x83f],
  );
  apic.readMsr(0x802);
  assert.deepEqual([apic.low, apic.high], [0x1_2345, 0]);
  apic.readMsr(0x80d);
  assert.equal(apic.low, (0x1234 << 16) | 0x20);
  assert.equal(apic.writeMsr(0x80b, 1, 0), false);
  assert.equal(apic.writeMsr(0x828, 1, 0), false);
  assert.equal(apic.writeMsr(0x832, 0x6_0000, 0), false, 'timer mode 11b');
});

test('x2APIC: ICR of 64 bits, its reserved bits, self IPI', () => {
  const bench = new ApicBench(2, {}, [0, 0x300]).enable().x2apic();
  const [apic, other] = bench.apics;
  assert.equal(apic.writeMsr(0x830, 0x1044, 0x300), true);
  assert.equal(other.acknowledge(), 0x44);
  apic.readMsr(0x830);
  assert.deepEqual([apic.low, apic.high], [0x44, 0x300]);
  for (const bit of [13, 16, 17, 20, 31]) assert.equal(apic.writeMsr(0x830, (1 << bit) | 0x44, 0), false);
  assert.equal(apic.writeMsr(0x83f, 0x100, 0), false);
  assert.equal(apic.writeMsr(0x83f, 0x99, 0), true);
  assert.deepEqual(bench.requested(0x99), [0]);
});

test('INIT resets registers, not the mode; restored, everything is as it was', () => {
  const bench = new ApicBench().enable().x2apic();
  const [apic] = bench.apics;
  apic.writeMsr(0x808, 0x20, 0);
  bench.bus.deliver(edge(0x70));
  const saved = apic.save();
  apic.initialize();
  assert.equal(apic.x2apicMode, true);
  assert.equal(apic.taskPriority, 0);
  assert.equal(apic.pendingVector(), -1);
  apic.restore(saved);
  assert.equal(apic.taskPriority, 0x20);
  assert.equal(apic.acknowledge(), 0x70);
  apic.reset();
  assert.equal(apic.x2apicMode, false);
});
