// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING } from '../../arch/vmx/fields.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

type Change = (vmcs: ExampleVmcs) => void;
const EXTERNAL: Change = (vmcs) => vmcs.or('PIN_BASED_VM_EXEC_CONTROL', 1);
const ACKNOWLEDGE: Change = (vmcs) => vmcs.or('VM_EXIT_CONTROLS', 1 << 15);
const NMI: Change = (vmcs) => vmcs.or('PIN_BASED_VM_EXEC_CONTROL', 8);
const VIRTUAL_NMIS: Change = (vmcs) => vmcs.or('PIN_BASED_VM_EXEC_CONTROL', 0x28);
const all =
  (...changes: Change[]): Change =>
  (vmcs) =>
    changes.forEach((change) => change(vmcs));
const VECTOR = 0x51;
const GENERAL_PROTECTION = 13;

/** L1's local APIC takes interrupts, and one comes in. */
function interrupt(f: NestedFixture, vector = VECTOR): void {
  f.vcpu.localApic.writeMemory(0xf0, 4, 0x1ff);
  f.vcpu.localApic.accept(vector, false);
}
const inService = (f: NestedFixture): number => f.vcpu.localApic.readMemory(0x100 + 0x10 * (VECTOR >> 5), 4);

describe('RFLAGS.RF that L0 sets for an exception of its emulation', () => {
  /** L2's RDMSR of an MSR that does not exist is #GP, whose delivery comes to this exit. */
  const after = (exit: Parameters<NestedFixture['exit']>, rflags = 0x202): bigint => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('EXCEPTION_BITMAP', 0x4100);
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 28);
      vmcs.set('MSR_BITMAP', 0x300000);
    });
    f.processor.set('GUEST_RFLAGS', rflags);
    f.processor.general[1] = 0x1fffn;
    assert.equal(f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.equal(f.fixture.injected?.vector, GENERAL_PROTECTION);
    assert.equal(f.processor.get('GUEST_RFLAGS'), 0x10202n);
    assert.equal(f.exit(...exit), 'L1');
    return f.get12('GUEST_RFLAGS');
  };
  const VECTORING = { IDT_VECTORING_INFO_FIELD: 0x80000b0dn };
  it('is taken back when the delivery ends in a triple fault or in a double fault that exits', () => {
    assert.equal(after(['TRIPLE_FAULT']), 0x202n);
    assert.equal(after(['EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000b08n }]), 0x202n);
    assert.equal(after(['TRIPLE_FAULT'], 0x10202), 0x10202n, 'it was set before');
  });
  it('is left when another fault in the delivery exits', () => {
    assert.equal(after(['EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000b0en, ...VECTORING }]), 0x10202n);
  });
});

describe('an interrupt for L1 while L2 runs', () => {
  it('kicks L2 out, and is an exit to L1 with reason 1', () => {
    const f = new NestedFixture().launch(EXTERNAL);
    const { kicks } = f.processor;
    interrupt(f);
    assert.ok(f.processor.kicks > kicks);
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 1n);
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), 0n);
    assert.equal(inService(f), 0, 'not acknowledged: L1 takes it through its own IDT');
    f.processor.set('GUEST_RFLAGS', 0x202);
    f.fixture.exit('INTERRUPT_WINDOW');
    assert.deepEqual(f.fixture.injected, { vector: VECTOR, type: 0 });
  });
  it('is acknowledged by the exit if L1 wants that', () => {
    const f = new NestedFixture().launch(all(EXTERNAL, ACKNOWLEDGE));
    interrupt(f);
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), BigInt(0x80000000 + VECTOR));
    assert.notEqual(inService(f), 0);
  });
  it("waiting at L1's VMRESUME: the event that L1 injects is delivered first, then L2 exits", () => {
    const f = new NestedFixture()
      .start()
      .writeExample(all(EXTERNAL, (vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030)));
    interrupt(f);
    const { kicks } = f.processor;
    assert.equal(f.execute('VMLAUNCH'), 'L2', 'the entry happens');
    assert.deepEqual(f.fixture.injected, { vector: 0x30, type: 0 });
    assert.ok(f.processor.kicks > kicks, 'and ends at once');
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), 0n);
  });
  it("waiting at L1's VMRESUME of an L2 in shutdown: it exits once an injected NMI has woken L2, and not otherwise", () => {
    for (const injection of [0x80000202, 0]) {
      const f = new NestedFixture().start().writeExample(
        all(EXTERNAL, NMI, VIRTUAL_NMIS, (vmcs) => {
          vmcs.set('GUEST_ACTIVITY_STATE', 2);
          vmcs.set('VM_ENTRY_INTR_INFO_FIELD', injection);
        }),
      );
      interrupt(f);
      const { kicks } = f.processor;
      assert.equal(f.execute('VMLAUNCH'), 'L2');
      assert.equal(f.processor.kicks > kicks, injection !== 0);
    }
  });
  it('the delivery that the kick was to follow is interrupted: it is repeated, and the kick too', () => {
    const f = new NestedFixture().start();
    f.put64(0x400000, 0x401007n);
    f.put64(0x401000, 0x87n | (6n << 3n));
    f.writeExample(all(EXTERNAL, withEpt, (vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030)));
    interrupt(f);
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    const { kicks } = f.processor;
    assert.equal(
      f.exit('EPT_VIOLATION', {
        GUEST_PHYSICAL_ADDRESS: 0x2000,
        EXIT_QUALIFICATION: 0x182,
        IDT_VECTORING_INFO_FIELD: 0x80000030n,
        GUEST_RFLAGS: 0x10202n,
      }),
      'L2',
    );
    assert.deepEqual(f.fixture.injected, { vector: 0x30, type: 0 });
    assert.equal(f.processor.get('GUEST_RFLAGS') & 0x10000n, 0n, 'RF is as it was at the entry');
    assert.ok(f.processor.kicks > kicks);
  });
  it('an instruction counts though the handler begins where L2 was entered: the stack pointer has moved', () => {
    const counted = (rsp: number): number => {
      const injects: Change = (vmcs) => {
        vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030);
        vmcs.set('EXCEPTION_BITMAP', 0x2000);
      };
      const f = new NestedFixture().launch(injects);
      const before = f.processor.ticks;
      const GUEST_RSP = f.processor.get('GUEST_RSP') + BigInt(rsp);
      f.exit('EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000b0d, GUEST_RSP });
      return f.processor.ticks - before;
    };
    assert.deepEqual([counted(-40), counted(0)], [1, 0]);
  });
  it("without external-interrupt exiting it goes through L2's IDT when that is open", () => {
    const f = new NestedFixture().launch();
    f.processor.set('GUEST_RFLAGS', 2);
    interrupt(f);
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L2');
    assert.equal(f.fixture.injected, undefined);
    assert.ok(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & 4n, "the window is L0's own");
    f.processor.set('GUEST_RFLAGS', 0x202);
    assert.equal(f.exit('INTERRUPT_WINDOW'), 'L2', 'and L1 does not see it');
    assert.deepEqual(f.fixture.injected, { vector: VECTOR, type: 0 });
    assert.equal(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & 4n, 0n);
  });
  it('even when L2 is open the window comes first: the hardware knows what precedes an interrupt', () => {
    const f = new NestedFixture().launch();
    f.processor.set('GUEST_RFLAGS', 0x202);
    interrupt(f);
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L2');
    assert.equal(f.fixture.injected, undefined, 'it may have TPR below the threshold, or a debug exception');
    assert.equal(f.exit('INTERRUPT_WINDOW'), 'L2');
    assert.deepEqual(f.fixture.injected, { vector: VECTOR, type: 0 });
  });
  it('a kick for nothing leaves L2 as it was', () => {
    const f = new NestedFixture().launch(EXTERNAL);
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L2');
    assert.equal(f.fixture.injected, undefined);
  });
  it('L2 that halted is found halted by L1', () => {
    const f = new NestedFixture().launch(EXTERNAL);
    interrupt(f);
    assert.equal(f.exit('EXTERNAL_INTERRUPT', { GUEST_ACTIVITY_STATE: 1 }), 'L1');
    assert.equal(f.get12('GUEST_ACTIVITY_STATE'), 1n);
    assert.equal(f.processor.get('GUEST_ACTIVITY_STATE'), 0n);
  });
});

describe('an NMI for L1 while L2 runs', () => {
  it('with NMI exiting is exit reason 0, and blocks NMIs in L1', () => {
    const f = new NestedFixture().launch(NMI);
    f.vcpu.nmi();
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 0n);
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), 0x80000202n);
    assert.equal(f.processor.get('GUEST_INTERRUPTIBILITY_INFO'), 8n);
    assert.equal(f.vcpu.state.pendingNmi, 0);
  });
  it('comes before an interrupt, and before the interrupt window', () => {
    const f = new NestedFixture().launch(all(NMI, EXTERNAL, (vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 4)));
    interrupt(f);
    f.vcpu.nmi();
    assert.equal(f.exit('INTERRUPT_WINDOW'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 0n);
    f.execute('VMRESUME');
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 1n);
  });
  it('blocking by NMI holds it back, unless it is of virtual NMIs', () => {
    const f = new NestedFixture().launch(NMI);
    f.vcpu.nmi();
    assert.equal(f.exit('EXTERNAL_INTERRUPT', { GUEST_INTERRUPTIBILITY_INFO: 8 }), 'L2');
    const g = new NestedFixture().launch(VIRTUAL_NMIS);
    g.vcpu.nmi();
    assert.equal(g.exit('EXTERNAL_INTERRUPT', { GUEST_INTERRUPTIBILITY_INFO: 8 }), 'L1');
  });
  it('without NMI exiting goes to L2, by a window if NMIs are blocked', () => {
    const f = new NestedFixture().launch();
    f.vcpu.nmi();
    assert.equal(f.exit('EXTERNAL_INTERRUPT', { GUEST_INTERRUPTIBILITY_INFO: 8 }), 'L2');
    assert.ok(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (1n << 22n));
    assert.equal(f.exit('NMI_WINDOW', { GUEST_INTERRUPTIBILITY_INFO: 0 }), 'L2');
    assert.deepEqual(f.fixture.injected, { vector: 2, type: 2 });
  });
});

describe('INIT', () => {
  it('makes L2 exit with reason 3, and is blocked once L1 runs', () => {
    const f = new NestedFixture().launch();
    f.vcpu.init();
    assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 3n);
    f.vcpu.init();
    f.fixture.exit('EXTERNAL_INTERRUPT');
    assert.equal(f.vcpu.state.pendingInit, 1);
  });
});

describe('exceptions and traps that L0 makes for L2', () => {
  const RDMSR: Change = (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 28), vmcs.set('MSR_BITMAP', 0x900000));
  const readsUnknownMsr = (change: Change): NestedFixture => {
    const f = new NestedFixture().launch(all(RDMSR, change));
    f.processor.general[1] = 0x1234n;
    return f;
  };
  it('#GP of an MSR access goes to L2 with its error code', () => {
    const f = readsUnknownMsr(() => {});
    assert.equal(f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.deepEqual(f.fixture.injected, { vector: GENERAL_PROTECTION, type: 3, errorCode: 0 });
  });
  it("but L1's exception bitmap is asked first (CVE-2016-9588, CVE-2020-2732)", () => {
    const f = readsUnknownMsr((vmcs) => vmcs.set('EXCEPTION_BITMAP', 1 << GENERAL_PROTECTION));
    assert.equal(f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 0n);
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), 0x80000b0dn);
    assert.equal(f.get12('VM_EXIT_INTR_ERROR_CODE'), 0n);
    assert.equal(f.get12('VM_EXIT_INSTRUCTION_LEN'), 0n);
    assert.equal(f.get12('GUEST_RFLAGS') & 0x10000n, 0x10000n, 'as a fault would have pushed it');
    assert.equal(f.fixture.injected, undefined);
  });
  it('with the monitor trap flag L1 gets its exit after the instruction that L0 completed', () => {
    const f = new NestedFixture().launch(all(RDMSR, (vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 27)));
    f.processor.general[1] = 0x277n;
    assert.equal(f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.deepEqual(f.fixture.injected, { vector: 0, type: 7 });
  });
  it("RDMSR of the time-stamp counter gives L2's", () => {
    const f = new NestedFixture().launch(
      all(RDMSR, (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 8), vmcs.set('TSC_OFFSET', 0x10000))),
    );
    f.processor.general[1] = 0x10n;
    assert.equal(f.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.equal(f.processor.general[0], BigInt(0x10000 + f.processor.ticks));
  });
  it("WRMSR of IA32_EFER changes L2's, and no mask of vmcs02", () => {
    const f = new NestedFixture().launch(all(RDMSR, (vmcs) => vmcs.set('CR0_GUEST_HOST_MASK', 0x8)));
    f.processor.general[1] = 0xc0000080n;
    f.processor.general[0] = 0xd01n;
    assert.equal(f.exit('MSR_WRITE', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L2');
    assert.equal(f.processor.get('GUEST_IA32_EFER'), 0xd01n);
    assert.equal(f.processor.get('CR0_GUEST_HOST_MASK'), 8n);
    f.processor.general[0] = 0xc01n;
    f.exit('MSR_WRITE', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual(
      f.fixture.injected,
      { vector: GENERAL_PROTECTION, type: 3, errorCode: 0 },
      'LME does not change under paging',
    );
  });
});

const withEpt: Change = (vmcs) => {
  vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
  vmcs.or('SECONDARY_VM_EXEC_CONTROL', 0x22);
  vmcs.set('VIRTUAL_PROCESSOR_ID', 5);
  vmcs.set('EPT_POINTER', 0x40001e);
};

describe('EPT violations of L2: the four outcomes', () => {
  /** EPT12 maps the first 2 MBytes of L2 to L1's at 6 MBytes, without write; 4 KBytes at 1 GByte to L1's device. */
  const launched = (): NestedFixture => {
    const f = new NestedFixture().start();
    f.put64(0x400000, 0x401007n);
    f.put64(0x401000, 0x402007n);
    f.put64(0x401008, 0x403007n);
    f.put64(0x402000, 0x600085n | (6n << 3n));
    f.put64(0x402008, 0x800002n);
    f.put64(0x403000, 0x404007n);
    f.put64(0x404000, 0xd0000007n);
    return f.writeExample(withEpt);
  };
  it('filled: EPT02 gets the entry, L2 tries again, an interrupted delivery goes on, IRET blocks NMIs again', () => {
    const f = launched();
    f.execute('VMLAUNCH');
    const before = f.processor.ticks;
    assert.equal(
      f.exit('EPT_VIOLATION', { GUEST_PHYSICAL_ADDRESS: 0x1234, EXIT_QUALIFICATION: 0x1181, GUEST_RIP: 0x77 }),
      'L2',
    );
    assert.equal(f.processor.get('GUEST_RIP'), 0x77n);
    assert.equal(f.processor.get('GUEST_INTERRUPTIBILITY_INFO'), 8n);
    assert.equal(f.processor.ticks, before, 'the instruction has not been executed');
    assert.equal(f.nested.toL1Physical(f.vcpu, 0x1234, 1, false), 0x601234);
    f.processor.set('GUEST_INTERRUPTIBILITY_INFO', 0);
    assert.equal(
      f.exit('EPT_VIOLATION', {
        GUEST_PHYSICAL_ADDRESS: 0x2000,
        EXIT_QUALIFICATION: 0x181,
        IDT_VECTORING_INFO_FIELD: 0x80000b0en,
        IDT_VECTORING_ERROR_CODE: 6,
      }),
      'L2',
    );
    assert.deepEqual(f.fixture.injected, { vector: 14, type: 3, errorCode: 6 });
  });
  it("violation: with EPT12's permissions in the qualification, never EPT02's", () => {
    const f = launched();
    f.execute('VMLAUNCH');
    const before = f.processor.ticks;
    assert.equal(
      f.exit('EPT_VIOLATION', {
        GUEST_PHYSICAL_ADDRESS: 0x1234,
        EXIT_QUALIFICATION: 0x182,
        GUEST_LINEAR_ADDRESS: 0x5234,
        VM_EXIT_INSTRUCTION_LEN: 3,
      }),
      'L1',
    );
    assert.equal(f.get12('VM_EXIT_REASON'), 48n);
    assert.equal(f.get12('EXIT_QUALIFICATION'), 0x182n | (5n << 3n));
    assert.equal(f.get12('GUEST_PHYSICAL_ADDRESS'), 0x1234n);
    assert.equal(f.get12('GUEST_LINEAR_ADDRESS'), 0x5234n);
    assert.equal(f.get12('VM_EXIT_INSTRUCTION_LEN'), 3n);
    assert.equal(f.processor.ticks - before, 1, 'the bare machine has counted the instruction');
  });
  it('misconfiguration: reason 49 without qualification or linear address', () => {
    const f = launched();
    f.execute('VMLAUNCH');
    f.exit('EPT_VIOLATION', {
      GUEST_PHYSICAL_ADDRESS: 0x200000,
      EXIT_QUALIFICATION: 0x181,
      GUEST_LINEAR_ADDRESS: 0x5234,
    });
    assert.equal(f.get12('VM_EXIT_REASON'), 49n);
    assert.equal(f.get12('EXIT_QUALIFICATION'), 0n);
    assert.equal(f.get12('GUEST_PHYSICAL_ADDRESS'), 0x200000n);
    assert.equal(f.get12('GUEST_LINEAR_ADDRESS'), 0n);
  });
  it("without EPT12 a violation is one of EPT01, and L0's: L1 never sees it", () => {
    const f = new NestedFixture().launch();
    const device = 0xd0000000;
    f.processor.set('GUEST_CR3', 0x10000);
    f.processor.set('GUEST_RIP', 0x100000);
    f.fixture.put(0x100000, [0x8b, 0x03]);
    f.processor.general[3] = BigInt(device);
    f.fixture.device.bytes[0] = 0x5a;
    assert.equal(f.exit('EPT_VIOLATION', { GUEST_PHYSICAL_ADDRESS: device, EXIT_QUALIFICATION: 0x181 }), 'L2');
    assert.equal(f.processor.general[0], 0x5an);
  });
});

describe('windows of L1 in L2', () => {
  it("are L1's exits", () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 4));
    assert.equal(f.exit('INTERRUPT_WINDOW'), 'L1');
    f.vmwrite(ENCODING.CPU_BASED_VM_EXEC_CONTROL, f.get12('CPU_BASED_VM_EXEC_CONTROL') & ~4n);
    f.execute('VMRESUME');
    assert.equal(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & 4n, 0n);
  });
});
