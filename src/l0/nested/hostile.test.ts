// SPDX-License-Identifier: Apache-2.0
// What the fuzzer found in L0 (tests/fuzz), each as the one situation that shows it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING } from '../../arch/vmx/fields.ts';
import { encodeVmreadVmwrite } from '../../arch/vmx/instruction-information.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

const NMI_EXITING = 8;
const NMI_WINDOW = 1 << 22;
const PREEMPTION_TIMER = 1 << 6;
const BLOCKING_BY_NMI = 8;
const INJECTED_NMI = 0x80000202;
const INJECTED_GP = 0x80000b0d;
const INJECTED_INTERRUPT = 0x80000007;
const INJECTED_PF = 0x80000b0e;
const NO_MEMORY = 0x7fff_f000;
const CR0_CD = 0x40000000;
const MSR_LIST = 0x320000;
/** Not allowed in a list. */
const FS_BASE = 0xc0000100;
const DOUBLE_FAULT = 0x80000b08;
const VECTOR = 0x51;
const INVALID_OPCODE = 6;

const EPT12 = 0x400000;
/** L2-physical 0: L1-physical 0x600000; 0x1000: a device of L1. */
function withEpt(f: NestedFixture): NestedFixture {
  f.put64(EPT12, BigInt(EPT12 + 0x1007));
  f.put64(EPT12 + 0x1000, BigInt(EPT12 + 0x2007));
  f.put64(EPT12 + 0x2000, BigInt(EPT12 + 0x3007));
  f.put64(EPT12 + 0x3000, 0x600037n);
  f.put64(EPT12 + 0x3008, 0xd0000037n);
  return f;
}
const usesEpt = (vmcs: ExampleVmcs): void => {
  vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
  vmcs.or('SECONDARY_VM_EXEC_CONTROL', 2);
  vmcs.set('EPT_POINTER', EPT12 | 0x1e);
};

function interrupt(f: NestedFixture): void {
  f.vcpu.localApic.writeMemory(0xf0, 4, 0x1ff);
  f.vcpu.localApic.accept(VECTOR, false);
}

describe('a hostile L1', () => {
  it('injects an NMI while NMIs are blocked and not virtual: L2 is entered', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('GUEST_INTERRUPTIBILITY_INFO', BLOCKING_BY_NMI);
      vmcs.set('VM_ENTRY_INTR_INFO_FIELD', INJECTED_NMI);
    });
    assert.equal(
      f.processor.get('GUEST_INTERRUPTIBILITY_INFO'),
      0n,
      'the hardware has virtual NMIs, and wants them open',
    );
    assert.deepEqual(f.fixture.injected, { vector: 2, type: 2 });
  });

  it('wants an NMI window or lets the timer expire: that comes before an interrupt of L2', () => {
    for (const change of [
      (vmcs: ExampleVmcs) => {
        vmcs.or('PIN_BASED_VM_EXEC_CONTROL', NMI_EXITING | 0x20);
        vmcs.or('CPU_BASED_VM_EXEC_CONTROL', NMI_WINDOW);
      },
      (vmcs: ExampleVmcs) => {
        vmcs.or('PIN_BASED_VM_EXEC_CONTROL', PREEMPTION_TIMER);
        vmcs.set('VMX_PREEMPTION_TIMER_VALUE', 0);
      },
    ]) {
      const f = new NestedFixture().start().writeExample(change);
      interrupt(f);
      assert.equal(f.execute('VMLAUNCH'), 'L2');
      assert.equal(f.fixture.injected, undefined);
    }
  });

  it('injects a fault that becomes a double fault: no instruction has been executed', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('EXCEPTION_BITMAP', 1 << 8);
      vmcs.set('VM_ENTRY_INTR_INFO_FIELD', INJECTED_GP);
    });
    const before = f.processor.ticks;
    assert.equal(f.exit('EXCEPTION_NMI', { VM_EXIT_INTR_INFO: DOUBLE_FAULT, VM_EXIT_INTR_ERROR_CODE: 0 }), 'L1');
    assert.equal(f.processor.ticks, before);
  });

  it("gives L2 a CR0.CD that entries do not load, and an MSR list that fails: CR0.CD is L1's own", () => {
    const f = new NestedFixture().start().writeExample((vmcs) => {
      vmcs.or('GUEST_CR0', CR0_CD);
      vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 1);
      vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST);
    });
    f.put64(MSR_LIST, BigInt(FS_BASE));
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.get12('VM_EXIT_REASON'), 0x80000022n);
    assert.equal(f.vcpu.cr0 & CR0_CD, 0);
  });

  it('puts its page tables where there is no memory: its fetch is a page fault, and L0 does not try for ever', () => {
    const { fixture, processor, vcpu } = new NestedFixture();
    processor.set('GUEST_CR3', 0x7fff_f000);
    const before = processor.ticks;
    fixture.exit('EPT_VIOLATION', { GUEST_PHYSICAL_ADDRESS: 0x7fff_f000, EXIT_QUALIFICATION: 0x81 });
    assert.equal(fixture.injected?.vector, 14);
    assert.equal(processor.ticks - before, 1);
    assert.equal(vcpu.state.level, 1);
  });

  it('puts the stack of L2 into a device: an event that cannot be delivered is a triple fault, and L0 does not try for ever', () => {
    const f = withEpt(new NestedFixture().start()).writeExample(usesEpt);
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    const delivery = {
      ...{ GUEST_PHYSICAL_ADDRESS: 0x1ff8, EXIT_QUALIFICATION: 0x182, GUEST_LINEAR_ADDRESS: 0x1ff8 },
      ...{ IDT_VECTORING_INFO_FIELD: INJECTED_GP, IDT_VECTORING_ERROR_CODE: 0 },
    };
    assert.equal(f.exit('EPT_VIOLATION', delivery), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 2n);
    assert.equal(f.vcpu.machine.unemulated.size, 1);
  });
});

describe('an L1 without EPT', () => {
  const withoutEpt = (): NestedFixture => new NestedFixture('modern-1', { paging: 'shadow-on-ept' });

  it('lets L2 put its page tables where there is no memory: a page fault, in whose delivery a double fault, then a triple', () => {
    const f = withoutEpt().launch((vmcs) => vmcs.set('EXCEPTION_BITMAP', 1 << 8));
    f.processor.set('GUEST_CR3', NO_MEMORY);
    f.processor.set('GUEST_IDTR_BASE', 0);
    const before = f.processor.ticks;
    const fetch = { GUEST_PHYSICAL_ADDRESS: NO_MEMORY, EXIT_QUALIFICATION: 0x81, GUEST_LINEAR_ADDRESS: 0x40 };
    assert.equal(f.exit('EPT_VIOLATION', fetch), 'L2');
    assert.equal(f.fixture.injected?.vector, 14);
    const delivery = (vectoring: number): Parameters<NestedFixture['exit']>[1] => ({
      ...{ ...fetch, GUEST_LINEAR_ADDRESS: 0x70 },
      ...{ IDT_VECTORING_INFO_FIELD: vectoring, IDT_VECTORING_ERROR_CODE: 0 },
    });
    assert.equal(f.exit('EPT_VIOLATION', delivery(INJECTED_PF)), 'L1');
    assert.equal(f.processor.ticks - before, 1, 'one instruction, that could not be fetched');
    assert.equal(f.get12('VM_EXIT_REASON'), 0n);
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), BigInt(DOUBLE_FAULT));
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), 0n);
    assert.equal(f.processor.unsaved.get('cr2'), 0x70n);

    const g = withoutEpt().launch();
    g.processor.set('GUEST_CR3', NO_MEMORY);
    g.processor.set('GUEST_IDTR_BASE', 0);
    assert.equal(g.exit('EPT_VIOLATION', delivery(INJECTED_PF)), 'L2');
    assert.equal(g.fixture.injected?.vector, 8);
    assert.equal(g.exit('EPT_VIOLATION', delivery(DOUBLE_FAULT)), 'L1');
    assert.equal(g.get12('VM_EXIT_REASON'), 2n);
    assert.equal(g.vcpu.machine.unemulated.size, 0);
  });

  it('intercepts page faults of L2, or L2 delivers an interrupt: what the tables where there is no memory fail is that', () => {
    const idt = 0x70;
    const during = (vectoring: number): Parameters<NestedFixture['exit']>[1] => ({
      ...{ GUEST_PHYSICAL_ADDRESS: NO_MEMORY, EXIT_QUALIFICATION: 0x81, GUEST_LINEAR_ADDRESS: idt },
      ...{ IDT_VECTORING_INFO_FIELD: vectoring, IDT_VECTORING_ERROR_CODE: 0 },
    });
    const f = withoutEpt().launch((vmcs) => vmcs.set('EXCEPTION_BITMAP', 1 << 14));
    f.processor.set('GUEST_CR3', NO_MEMORY);
    f.processor.set('GUEST_IDTR_BASE', 0);
    assert.equal(f.exit('EPT_VIOLATION', during(INJECTED_GP)), 'L1');
    assert.equal(f.get12('VM_EXIT_REASON'), 0n);
    assert.equal(f.get12('VM_EXIT_INTR_INFO'), BigInt(INJECTED_PF));
    assert.equal(f.get12('VM_EXIT_INTR_ERROR_CODE'), 9n, 'present, reserved bits');
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), BigInt(INJECTED_GP));
    assert.equal(f.get12('EXIT_QUALIFICATION'), BigInt(idt));

    const g = withoutEpt().launch();
    g.processor.set('GUEST_CR3', NO_MEMORY);
    g.processor.set('GUEST_IDTR_BASE', 0);
    const before = g.processor.ticks;
    assert.equal(g.exit('EPT_VIOLATION', during(INJECTED_INTERRUPT)), 'L2');
    assert.equal(g.fixture.injected?.vector, 14);
    assert.equal(g.processor.ticks, before, 'an interrupt comes between instructions');
  });

  it('has no INVEPT, whatever its privilege, and neither has its L2', () => {
    const f = withoutEpt().start();
    f.processor.set('GUEST_SS_AR_BYTES', 0xc0f3);
    assert.equal(f.invalidate('INVEPT', 2, 0n), `#${INVALID_OPCODE}`);
    const g = withoutEpt().launch();
    assert.equal(g.exit('INVEPT', { VM_EXIT_INSTRUCTION_LEN: 5 }), 'L2');
    assert.equal(g.fixture.injected?.vector, INVALID_OPCODE);
  });

  it('does not read fields of EPT through the shadow VMCS', () => {
    const f = withoutEpt().start();
    f.processor.general[1] = BigInt(ENCODING.GUEST_PHYSICAL_ADDRESS);
    assert.equal(f.execute('VMREAD', { VMX_INSTRUCTION_INFO: encodeVmreadVmwrite({ register: 0 }, 1) }), 'fail 12');
    const bitmap = new Uint8Array(1);
    const address = f.processor.get('VMREAD_BITMAP');
    f.fixture.l0.memory.read(Number(address) + (ENCODING.GUEST_PHYSICAL_ADDRESS >> 3), bitmap);
    assert.equal((bitmap[0] >> (ENCODING.GUEST_PHYSICAL_ADDRESS & 7)) & 1, 1, 'VMREAD of it exits');
  });
});
