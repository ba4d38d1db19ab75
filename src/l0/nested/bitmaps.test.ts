// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FakeMemory } from '../fake-machine.testing.ts';
import { MergedBitmap } from './bitmaps.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

const [PAGE, PAGE01] = [0x1000, 0x2000];
const l1 = (bytes: Uint8Array): { read: (address: number, to: Uint8Array) => void } => ({
  read: (_, to) => to.set(bytes),
});

describe('merged bitmaps', () => {
  it("are the or of both hypervisors' wishes", () => {
    const page = fc.uint8Array({ minLength: 4096, maxLength: 4096 });
    fc.assert(
      fc.property(page, page, (bytes01, bytes12) => {
        const memory = new FakeMemory(0x3000);
        memory.write(PAGE01, bytes01);
        new MergedBitmap(memory, PAGE).merge(PAGE01, l1(bytes12), 0, false);
        const merged = memory.array.subarray(PAGE, PAGE + 4096);
        assert.ok(merged.every((byte, i) => byte === (bytes01[i] | bytes12[i])));
      }),
      { numRuns: 20 },
    );
  });
  it('a hypervisor without a bitmap wants nothing', () => {
    const memory = new FakeMemory(0x3000);
    const bitmap = new MergedBitmap(memory, PAGE);
    memory.array.fill(0x0f, PAGE01, PAGE01 + 4096);
    bitmap.merge(-1, l1(new Uint8Array(4096).fill(0xf0)), 0, false);
    assert.equal(memory.array[PAGE], 0xf0);
    bitmap.merge(PAGE01, l1(new Uint8Array(4096).fill(0xf0)), -1, false);
    assert.equal(memory.array[PAGE], 0x0f);
  });
  it('x2APIC registers exit though both would let them pass (CVE-2019-3887)', () => {
    const memory = new FakeMemory(0x3000);
    new MergedBitmap(memory, PAGE).merge(PAGE01, l1(new Uint8Array(4096)), 0, true);
    const exits = (index: number, write: boolean): boolean =>
      ((memory.array[PAGE + (write ? 0x800 : 0) + (index >> 3)] >> (index & 7)) & 1) !== 0;
    for (let index = 0x800; index < 0x900; index++) assert.ok(exits(index, false) && exits(index, true));
    assert.ok(!exits(0x7ff, false) && !exits(0x900, false) && !exits(0x7ff, true) && !exits(0x900, true));
  });
  it('are written only when they change, and what L1 writes into its page counts from its next entry', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 28);
      vmcs.set('MSR_BITMAP', 0x900000);
    });
    const page = Number(f.processor.get('MSR_BITMAP'));
    const { memory } = f.fixture.machine;
    const before = memory.array[page + (0x174 >> 3)];
    assert.equal(before & 0x70, 0, 'SYSENTER MSRs pass');
    f.exit('CPUID');
    f.put32(0x900000 + 0x2c, 0x00100000);
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.equal(memory.array[page + 0x2e], before | 0x10);
    f.exit('CPUID');
    const write = memory.write.bind(memory);
    memory.write = (address, bytes) => {
      assert.notEqual(address, page, 'nothing has changed');
      write(address, bytes);
    };
    assert.equal(f.execute('VMRESUME'), 'L2');
  });
  it("without a bitmap of L1's every MSR of L2 exits", () => {
    const f = new NestedFixture().launch();
    assert.equal(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (1n << 28n), 0n);
  });
  it("L0's I/O bitmaps hold for L2 when L1 lets all ports pass", () => {
    const f = new NestedFixture().launch();
    assert.ok(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (1n << 25n));
    assert.equal(f.fixture.machine.memory.array[Number(f.processor.get('IO_BITMAP_A')) + 0x10], 0xff);
    const all = new NestedFixture().launch((vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 24));
    assert.equal(
      all.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (3n << 24n),
      1n << 24n,
      'unconditional, without bitmaps',
    );
  });
});

describe('a saved state', () => {
  it('brings back VMX operation, vmcs12, tags and EPT02 into an L0 that knows nothing of them', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
      vmcs.or('SECONDARY_VM_EXEC_CONTROL', 0x22);
      vmcs.set('EPT_POINTER', 0x40001e);
      vmcs.set('VIRTUAL_PROCESSOR_ID', 7);
    });
    f.exit('CPUID', { GUEST_RIP: 0x4444 });
    const saved = f.nestedVcpu.save();
    const host = f.fixture.l0.allocator.save();
    const g = new NestedFixture();
    g.fixture.machine.memory.array.set(f.fixture.machine.memory.array);
    g.fixture.l0.allocator.restore(host);
    g.vcpu.restore(f.vcpu.save());
    g.nestedVcpu.restore(saved);
    g.processor.set('GUEST_SS_AR_BYTES', 0xc093);
    assert.equal(g.execute('VMRESUME'), 'L2');
    for (const name of ['GUEST_RIP', 'EPT_POINTER', 'VIRTUAL_PROCESSOR_ID', 'GUEST_CR3'] as const) {
      f.processor.vmptrld(f.nestedVcpu.vmcs02.address);
      assert.equal(g.processor.get(name), f.processor.get(name), name);
    }
  });
});
