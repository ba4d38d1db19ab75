// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CODE, Fixture, fakeHooks } from '../l0-fixture.testing.ts';
import { storedMsr } from '../msrs.ts';

const [RAX, RCX, RDX] = [0, 1, 2];
const GP = { vector: 13, type: 3, errorCode: 0 };

function rdmsr(fixture: Fixture, index: number): bigint | undefined {
  fixture.processor.general[RCX] = BigInt(index);
  fixture.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 });
  if (fixture.injected !== undefined) {
    assert.deepEqual(fixture.injected, GP);
    return undefined;
  }
  return (fixture.processor.general[RDX] << 32n) | fixture.processor.general[RAX];
}
function wrmsr(fixture: Fixture, index: number, value: bigint): boolean {
  fixture.processor.general[RCX] = BigInt(index);
  fixture.processor.general[RAX] = value & 0xffffffffn;
  fixture.processor.general[RDX] = value >> 32n;
  fixture.exit('MSR_WRITE', { VM_EXIT_INSTRUCTION_LEN: 2 });
  return fixture.injected === undefined;
}

describe('MSRs', () => {
  // prettier-ignore
  const ROWS: readonly [name: string, index: number, value: bigint][] = [
    ['an MTRR',           0x200,      0x80000006n],
    ['PAT',               0x277,      0x0007040600070401n],
    ['SYSENTER_EIP',      0x176,      0xffffffff81000000n],
    ['STAR',              0xc0000081, 0x0023001000000000n],
    ['LSTAR',             0xc0000082, 0xffffffff81000000n],
    ['FS base',           0xc0000100, 0x00007fff00000000n],
    ['KERNEL_GS_BASE',    0xc0000102, 0xffff888000000000n],
    ['TSC_AUX',           0xc0000103, 7n],
    ['DEBUGCTL',          0x1d9,      2n],
    ['EFER.SCE and NXE',  0xc0000080, 0xd01n],
    ['MISC_ENABLE',       0x1a0,      0x1801n],
  ];
  for (const [name, index, value] of ROWS) {
    it(`${name} keeps what is written`, () => {
      const fixture = new Fixture();
      assert.ok(wrmsr(fixture, index, value));
      assert.equal(rdmsr(fixture, index), value);
    });
  }

  for (const [name, index, value] of [
    ['not canonical', 0xc0000082, 1n << 60n],
    ['a reserved bit', 0xc0000080, 2n],
    ['read-only', 0xfe, 1n],
    ['an unknown memory type', 0x277, 2n],
  ] as const) {
    it(`refuses ${name} with #GP(0), counts it as an instruction, and changes nothing`, () => {
      const fixture = new Fixture();
      const before = rdmsr(fixture, index);
      assert.equal(wrmsr(fixture, index, value), false);
      assert.deepEqual([fixture.vcpu.rip, fixture.processor.ticks], [CODE + 2, 2]);
      assert.equal(rdmsr(fixture, index), before);
    });
  }

  it('an unknown one is #GP(0), and counted', () => {
    const fixture = new Fixture();
    assert.equal(rdmsr(fixture, 0x12345), undefined);
    assert.equal(wrmsr(fixture, 0x12345, 0n), false);
    assert.equal(rdmsr(fixture, 0x480), undefined, 'no VMX, no capability MSRs');
    assert.deepEqual(
      [...fixture.l0.l1.unknownMsrs],
      [
        [0x12345, { reads: 1, writes: 1 }],
        [0x480, { reads: 1, writes: 0 }],
      ],
    );
  });

  it('FEATURE_CONTROL locks itself; VMX capability MSRs are those of nested VMX', () => {
    const fixture = new Fixture('modern-1', { l0: { nested: () => fakeHooks() } });
    assert.ok(wrmsr(fixture, 0x3a, 5n));
    assert.equal(wrmsr(fixture, 0x3a, 4n), false);
    assert.equal(storedMsr(fixture.vcpu, 0x3a), 5n);
    assert.deepEqual([rdmsr(fixture, 0x480), rdmsr(fixture, 0x493)], [(2n << 32n) | 1n, undefined]);
  });

  it('the time-stamp counter: L1 writes it by an offset that the hardware adds, and TSC_ADJUST follows', () => {
    const fixture = new Fixture();
    fixture.processor.ticks = 999;
    assert.equal(rdmsr(fixture, 0x10), 1000n);
    assert.ok(wrmsr(fixture, 0x10, 0x1_0000_0000n));
    const offset = 0x1_0000_0000n - 1001n;
    assert.equal(fixture.processor.get('TSC_OFFSET'), offset);
    assert.equal(rdmsr(fixture, 0x3b), offset);
    assert.ok(wrmsr(fixture, 0x3b, 0n));
    assert.equal(fixture.processor.get('TSC_OFFSET'), 0n);
  });

  it('the TSC deadline is met at the instruction at which the counter reaches it, and kicks the processor', () => {
    const fixture = new Fixture();
    const { vcpu, time, processor } = fixture;
    vcpu.localApic.writeMemory(0xf0, 4, 0x1ff);
    vcpu.localApic.writeMemory(0x320, 4, 0x400ec);
    assert.ok(wrmsr(fixture, 0x6e0, 5000n));
    assert.equal(time.nextDeadline(), 5000);
    const before = processor.kicks;
    time.advanceTo(5000);
    assert.equal(processor.kicks, before + 1);
    assert.equal(vcpu.localApic.pendingVector(), 0xec);
  });

  it('x2APIC: mode by IA32_APIC_BASE, registers by MSR', () => {
    const fixture = new Fixture();
    assert.equal(rdmsr(fixture, 0x802), undefined);
    assert.ok(wrmsr(fixture, 0x1b, 0xfee00d00n));
    assert.equal(rdmsr(fixture, 0x802), 0n);
    assert.ok(wrmsr(fixture, 0x80f, 0x1ffn));
    assert.ok(wrmsr(fixture, 0x83f, 0x55n), 'self-IPI');
    assert.equal(fixture.vcpu.localApic.pendingVector(), 0x55);
    assert.equal(fixture.processor.kicks, 0, 'L0 looks for events by itself before it enters');
    assert.equal(wrmsr(fixture, 0x1b, 0xfee00900n), false, 'x2APIC to xAPIC');
  });
});
