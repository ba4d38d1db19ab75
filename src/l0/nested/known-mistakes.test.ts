// SPDX-License-Identifier: Apache-2.0
// What others have got wrong in nested VMX, as tests of ours. tests/mistakes/mistakes.ts is the list, and shows that each
// fails where the mistake is made.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING, FIELDS } from '../../arch/vmx/fields.ts';
import { encodeMemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { FakeProcessor } from '../fake-machine.testing.ts';
import { DEVICE, Fixture } from '../l0-fixture.testing.ts';
import { NestedVmx } from './nested-vmx.ts';
import { NestedFixture, OPERAND, OTHER_REGION, REGION, VMXON_REGION } from './nested-fixture.testing.ts';

type Change = (vmcs: ExampleVmcs) => void;
const all =
  (...changes: Change[]): Change =>
  (vmcs) =>
    changes.forEach((change) => change(vmcs));
const secondary =
  (bits: number): Change =>
  (vmcs) => {
    vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
    vmcs.or('SECONDARY_VM_EXEC_CONTROL', bits);
  };
const [EPT, VPID, UNRESTRICTED] = [1 << 1, 1 << 5, 1 << 7];
const ept = all(secondary(EPT | VPID), (vmcs) => {
  vmcs.set('EPT_POINTER', 0x40001e);
  vmcs.set('VIRTUAL_PROCESSOR_ID', 5);
});
/** L1 lets all MSRs pass, so that L0 serves L2's. */
const msrsPass: Change = (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 28), vmcs.set('MSR_BITMAP', 0x900000));
const TIMER = 0x40;
const MSR_LIST = 0x700000;
const GENERAL_PROTECTION = 13;

describe('L1 as the guest user of VMX', () => {
  it('a failed VMXON changes nothing and takes nothing (CVE-2017-2596)', () => {
    const f = new NestedFixture();
    const { allocator } = f.fixture.l0;
    const [free, state] = [allocator.free, { ...f.nestedVcpu.state }];
    for (let i = 0; i < 3; i++) assert.equal(f.withPointer('VMON', VMXON_REGION + 8), 'fail invalid');
    assert.equal(allocator.free, free);
    assert.deepEqual({ ...f.nestedVcpu.state }, state);
    assert.equal(f.withPointer('VMPTRLD', REGION), '#6', 'not in VMX operation');
  });
  it('what VMREAD gives holds nothing of an earlier instruction (CVE-2019-7222)', () => {
    const f = new NestedFixture().start();
    f.vmwrite(ENCODING.GUEST_RSP, 0x1122334455667788n);
    f.vmwrite(ENCODING.TSC_OFFSET, 0x99aabbccn << 32n);
    assert.equal(f.vmread(ENCODING.GUEST_RSP).value, 0x1122334455667788n);
    assert.equal(f.vmread(ENCODING.TSC_OFFSET + 1).value, 0x99aabbccn);
  });
  it('addresses are cut to 32 bits outside 64-bit mode, and wrap', () => {
    const f = new NestedFixture().start();
    f.processor.set('GUEST_IA32_EFER', 0);
    f.processor.set('GUEST_CR0', 0x31);
    f.processor.set('GUEST_CS_AR_BYTES', 0xc09b);
    f.processor.set('GUEST_DS_BASE', 0xffff0000);
    f.processor.general[3] = 0x7_0000_0000n + BigInt(OPERAND + 0x10000 - 8);
    f.put64(OPERAND, BigInt(OTHER_REGION));
    const outcome = f.execute('VMPTRLD', {
      VMX_INSTRUCTION_INFO: encodeMemoryOperand({ addressSize: 32, segment: 3, base: 3 }),
      EXIT_QUALIFICATION: 8,
    });
    assert.equal(outcome, 'succeed');
    assert.equal(f.nestedVcpu.vmcs12.pointer, OTHER_REGION);
  });
  it('without nesting no VMX instruction does anything (CVE-2013-4551)', () => {
    const f = new Fixture();
    for (const reason of ['VMON', 'VMLAUNCH', 'VMRESUME', 'VMREAD', 'INVEPT', 'VMCALL'] as const) {
      f.exit(reason, { VM_EXIT_INSTRUCTION_LEN: 3 });
      assert.deepEqual(f.injected, { vector: 6, type: 3 }, reason);
    }
  });
  it('without nesting CPUID shows no VMX, and CR4.VMXE cannot be set (CVE-2018-18883)', () => {
    const f = new Fixture();
    f.processor.general[0] = 1n;
    f.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.equal((f.processor.general[1] >> 5n) & 1n, 0n);
    f.processor.general[3] = 0x2020n;
    f.exit('CR_ACCESS', { EXIT_QUALIFICATION: 4 | (3 << 8), VM_EXIT_INSTRUCTION_LEN: 3 });
    assert.deepEqual(f.injected, { vector: GENERAL_PROTECTION, type: 3, errorCode: 0 });
  });
});

describe('checks and their use', () => {
  it("what is checked is what is used, whatever happens to L1's page in between (CVE-2021-29657)", () => {
    const f = new NestedFixture().start();
    f.put32(0x600000, f.revision);
    f.writeExample((vmcs) => vmcs.set('VMCS_LINK_POINTER', 0x600000, 0));
    const { context } = f.nestedVcpu;
    const read = context.readPhysical32.bind(context);
    let changed = false;
    // The check of the linked VMCS reads memory: somebody else writes all of the region at that moment.
    Object.assign(context, {
      readPhysical32: (address: number) => {
        for (const { offset } of FIELDS) f.put32(REGION + offset, 0x55555555);
        changed = true;
        return read(address);
      },
    });
    const rip = f.get12('GUEST_RIP');
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.ok(changed);
    assert.equal(f.processor.get('GUEST_RIP'), rip);
    assert.equal(f.processor.get('GUEST_CS_LIMIT'), f.get12('GUEST_CS_LIMIT'));
  });
  it('an MSR list puts nothing into the processor that WRMSR would refuse (CVE-2024-21106)', () => {
    const f = new NestedFixture().start();
    f.put64(MSR_LIST, 0xc0000102n);
    f.put64(MSR_LIST + 8, 0x8000_0000_0000n);
    f.writeExample((vmcs) => (vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 1), vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST)));
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.deepEqual([f.get12('VM_EXIT_REASON'), f.get12('EXIT_QUALIFICATION')], [0x80000022n, 1n]);
    assert.notEqual(f.processor.unsaved.get('kernelGsBase'), 0x8000_0000_0000n);
  });
});

describe('ways out that undo', () => {
  it('an entry that fails on guest state takes no pages and no tags (CVE-2026-68081)', () => {
    const f = new NestedFixture().start().writeExample(all(ept, (vmcs) => vmcs.set('GUEST_RFLAGS', 0)));
    const { free } = f.fixture.l0.allocator;
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.nestedVcpu.multiDimensional.state.pages, 0);
    assert.equal(f.nestedVcpu.vpids.state.entries, 0);
    assert.equal(f.fixture.l0.allocator.free, free);
  });
  it('an entry that fails on its MSR list leaves nothing of the list in vmcs02 (CVE-2026-68081)', () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST));
    f.put64(MSR_LIST, 0x175n);
    f.put64(MSR_LIST + 8, 0x1000n);
    f.put64(MSR_LIST + 16, 0xc0000100n);
    f.exit('CPUID');
    f.vmwrite(ENCODING.VM_ENTRY_MSR_LOAD_COUNT, 2);
    assert.equal(f.execute('VMRESUME'), 'host');
    f.vmwrite(ENCODING.VM_ENTRY_MSR_LOAD_COUNT, 0);
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.equal(f.processor.get('GUEST_SYSENTER_ESP'), 0n);
  });
  it('an entry that fails on its MSR list flushes as the exit that it is (CVE-2026-89930)', () => {
    const f = new NestedFixture().start();
    f.put64(MSR_LIST, 0xc0000100n);
    f.writeExample((vmcs) => (vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 1), vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST)));
    f.processor.invalidations.length = 0;
    assert.equal(f.execute('VMLAUNCH'), 'host');
    const vpid0 = ['INVVPID 1 256', 'INVVPID 1 1'];
    const done = f.processor.invalidations;
    assert.deepEqual([done.slice(0, 2), done.slice(-2)], [vpid0, vpid0], 'at the entry, and at the exit');
    assert.ok(done.length >= 4);
  });
  it('an entry that fails leaves the VMCS clear and its event in place (CVE-2026-46032 and others)', () => {
    const f = new NestedFixture()
      .start()
      .writeExample((vmcs) => (vmcs.set('GUEST_RFLAGS', 0x200), vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030)));
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.get12('VM_ENTRY_INTR_INFO_FIELD'), 0x80000030n);
    f.vmwrite(ENCODING.GUEST_RFLAGS, 0x202);
    assert.equal(f.execute('VMRESUME'), 'fail 5');
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.deepEqual(f.fixture.injected, { vector: 0x30, type: 0 });
  });
  it('a VMX abort leaves the processor with L1, not half in L2 (CVE-2026-99176)', () => {
    const f = new NestedFixture().launch(
      (vmcs) => (vmcs.set('VM_EXIT_MSR_STORE_COUNT', 1), vmcs.set('VM_EXIT_MSR_STORE_ADDR', MSR_LIST)),
    );
    f.put64(MSR_LIST, 0x1234n);
    f.exit('CPUID');
    assert.match(f.fixture.ends.join(), /^shutdown 0/);
    assert.equal(f.vcpu.state.level, 1);
    assert.equal(f.processor.currentVmcs, f.vcpu.vmcs01);
  });
  it('a timer that L1 armed does not outlive its VMCS (CVE-2019-7221)', () => {
    const f = new NestedFixture().launch(
      (vmcs) => (vmcs.or('PIN_BASED_VM_EXEC_CONTROL', TIMER), vmcs.set('VMX_PREEMPTION_TIMER_VALUE', 100)),
    );
    assert.notEqual(f.processor.get('PIN_BASED_VM_EXEC_CONTROL') & BigInt(TIMER), 0n);
    f.exit('CPUID');
    assert.equal(f.processor.get('PIN_BASED_VM_EXEC_CONTROL') & BigInt(TIMER), 0n, 'L1');
    assert.equal(f.execute('VMOFF'), 'succeed');
    f.start(OTHER_REGION).writeExample();
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.equal(f.processor.get('PIN_BASED_VM_EXEC_CONTROL') & BigInt(TIMER), 0n, 'the next L2');
  });
});

describe('what L2 does to itself is no end of L1', () => {
  it('its triple fault is an exit of L1, which goes on in VMX operation (CVE-2022-3344)', () => {
    const f = new NestedFixture().launch();
    assert.equal(f.exit('TRIPLE_FAULT'), 'L1');
    assert.deepEqual([f.get12('VM_EXIT_REASON'), f.fixture.ends, f.vcpu.state.activity], [2n, [], 0]);
    assert.equal(f.execute('VMRESUME'), 'L2');
  });
  it('nor is an event that it delivers through a device: L1 gets an exit by a triple fault', () => {
    const f = new NestedFixture().launch();
    const outcome = f.exit('EPT_VIOLATION', {
      GUEST_PHYSICAL_ADDRESS: DEVICE,
      EXIT_QUALIFICATION: 0x182,
      IDT_VECTORING_INFO_FIELD: 0x80000030,
    });
    assert.deepEqual([outcome, f.get12('VM_EXIT_REASON'), f.fixture.ends], ['L1', 2n, []]);
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), 0n, 'no IDT-vectoring information');
    assert.equal(f.vcpu.state.vectoring, 0);
  });
});

describe('whose state it is', () => {
  it("L0's own TPR shadow and APIC accesses do not become L2's (CVE-2021-3653)", () => {
    const f = new NestedFixture().start().writeExample(ept);
    f.processor.set('CPU_BASED_VM_EXEC_CONTROL', f.processor.get('CPU_BASED_VM_EXEC_CONTROL') | (1n << 21n));
    f.processor.set('SECONDARY_VM_EXEC_CONTROL', f.processor.get('SECONDARY_VM_EXEC_CONTROL') | 1n);
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.equal(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (7n << 19n), 3n << 19n);
    assert.equal(f.processor.get('SECONDARY_VM_EXEC_CONTROL') & 1n, 0n);
  });
  it('GUEST_CR3 is written even if L2 is entered halted', () => {
    const f = new NestedFixture().launch(
      (vmcs) => (vmcs.set('GUEST_ACTIVITY_STATE', 1), vmcs.set('GUEST_CR3', 0x5000)),
    );
    assert.equal(f.processor.get('GUEST_CR3'), 0x5000n);
  });
  it('another EPTP12 at VMRESUME leads to another EPT02, and back to the first', () => {
    const f = new NestedFixture().launch(ept);
    const first = f.processor.get('EPT_POINTER');
    const resumeWith = (eptp: number): bigint => {
      f.exit('CPUID');
      f.vmwrite(ENCODING.EPT_POINTER, eptp);
      assert.equal(f.execute('VMRESUME'), 'L2');
      return f.processor.get('EPT_POINTER');
    };
    assert.notEqual(resumeWith(0x50001e), first);
    assert.equal(resumeWith(0x40001e), first);
  });
  it("EOI by L2 that L1 lets pass ends the interrupt of L1's local APIC", () => {
    // x2APIC mode, vector 51H in service; what is L2's own stays L2's.
    const f = new NestedFixture();
    f.vcpu.localApic.writeMsr(0x1b, 0xfee00d00, 0);
    f.vcpu.localApic.writeMsr(0x80f, 0x1ff, 0);
    f.vcpu.localApic.accept(0x51, false);
    assert.equal(f.vcpu.localApic.acknowledge(), 0x51);
    const inService = (): number => (f.vcpu.localApic.readMsr(0x812), f.vcpu.localApic.low);
    assert.notEqual(inService(), 0);
    f.launch(msrsPass);
    Object.assign(f.processor.general, { 0: 0n, 1: 0x80bn, 2: 0n });
    assert.equal(f.exit('MSR_WRITE', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.equal(inService(), 0);
  });
  it('INVVPID of a processor goes to the tags of that processor (CVE-2026-89929)', () => {
    let nested: NestedVmx | undefined;
    const f = new Fixture('modern-1', { processors: 2, l0: { nested: (host) => (nested = new NestedVmx(host)) } });
    const { vpids } = nested!.of(f.l0.vcpus[1]);
    const done = f.machine.processors.map(({ invalidations }: FakeProcessor) => invalidations);
    done.forEach((list) => (list.length = 0));
    vpids.enter(5);
    vpids.invalidate(1, 5, { low: 0, high: 0 });
    assert.deepEqual(
      done.map(({ length }) => length),
      [0, 2],
    );
  });
});

describe('events', () => {
  it('a pending MTF exit that L1 injects is L1\'s, also without "monitor trap flag"', () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000700));
    assert.deepEqual(f.fixture.injected, { vector: 0, type: 7 });
    assert.equal(f.exit('MONITOR_TRAP_FLAG'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 37n);
  });

  const realMode: Change = all(ept, secondary(UNRESTRICTED), msrsPass, (vmcs) => {
    vmcs.clear('VM_ENTRY_CONTROLS', 0x200);
    vmcs.set('GUEST_CR0', 0x20);
    vmcs.set('GUEST_CR4', 0x2000);
    vmcs.set('GUEST_RIP', 0xfff0);
    vmcs.set('GUEST_CS_AR_BYTES', 0x9b);
    vmcs.set('GUEST_CS_LIMIT', 0xffff);
    vmcs.set('GUEST_CS_BASE', 0xf0000);
    vmcs.set('GUEST_CS_SELECTOR', 0xf000);
  });
  const unknownMsr = (change: Change): NestedFixture => {
    const f = new NestedFixture().launch(change);
    f.processor.general[1] = 0x1234n;
    f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 });
    return f;
  };
  it('an exception in real-address mode has no error code, for L2 or for L1', () => {
    assert.deepEqual(unknownMsr(realMode).fixture.injected, { vector: GENERAL_PROTECTION, type: 3 });
    const f = unknownMsr(all(realMode, (vmcs) => vmcs.set('EXCEPTION_BITMAP', 1 << GENERAL_PROTECTION)));
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), 0x8000030dn);
  });
  it('real-address mode is what CR0 says, not what L1 shows L2 of it', () => {
    const shown: Change = all(
      msrsPass,
      (vmcs) => (vmcs.set('CR0_GUEST_HOST_MASK', 1), vmcs.set('CR0_READ_SHADOW', 0x20)),
    );
    assert.deepEqual(unknownMsr(shown).fixture.injected, { vector: GENERAL_PROTECTION, type: 3, errorCode: 0 });
    const f = unknownMsr(all(shown, (vmcs) => vmcs.set('EXCEPTION_BITMAP', 1 << GENERAL_PROTECTION)));
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), 0x80000b0dn);
  });
  it("L0's emulator finds L2's memory by L2's control registers, not by what L1 shows of them", () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('CR0_GUEST_HOST_MASK', 0x80000001);
      vmcs.set('CR0_READ_SHADOW', 0x20);
      vmcs.set('GUEST_CR3', 0x10000);
      vmcs.set('GUEST_RIP', 0x300000);
    });
    // L2-linear 4 MBytes are the device, by L2's page tables alone.
    f.put64(0x12010, BigInt(DEVICE + 0x83));
    f.fixture.put(0x300000, [0x8b, 0x03]);
    f.processor.general[3] = 0x400000n;
    f.fixture.device.bytes[0] = 0x5a;
    assert.equal(f.exit('EPT_VIOLATION', { GUEST_PHYSICAL_ADDRESS: DEVICE, EXIT_QUALIFICATION: 0x181 }), 'L2');
    assert.equal(f.processor.general[0], 0x5an);
  });
});
