// SPDX-License-Identifier: Apache-2.0
// The two world switches: what L1 finds after an exit of L2 is what the processor would have left.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING, FIELDS } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { PROFILE_NAMES } from '../../arch/vmx/profiles.ts';
import { NestedFixture, REGION } from './nested-fixture.testing.ts';

type Change = (vmcs: ExampleVmcs) => void;
const HOST_RIP = 0xffffffff81000000n;
const MSR_LIST = 0x700000;

/** vmcs12 as L1 reads it, by VMREAD, where it is not exit information. */
function fields(f: NestedFixture, skip: readonly FieldName[] = []): Map<string, bigint> {
  return new Map(
    FIELDS.filter(({ name, area }) => area !== 'exitInformation' && !skip.includes(name)).map(({ name }) => [
      name,
      f.get12(name),
    ]),
  );
}

describe("an exit of L2 that is L1's", () => {
  for (const profile of PROFILE_NAMES) {
    it(`and one in again: nothing of vmcs12 changes that L2 did not change (${profile})`, () => {
      const f = new NestedFixture(profile).launch();
      const before = fields(f);
      assert.equal(f.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L1');
      assert.deepEqual(fields(f), before);
      assert.equal(f.execute('VMRESUME'), 'L2');
      assert.equal(f.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 }), 'L1');
      assert.deepEqual(fields(f), before);
    });
  }

  it("hands L2's state and the exit information on, bit for bit", () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 24));
    const state = {
      GUEST_RIP: 0x1234n,
      GUEST_RSP: 0x5678n,
      GUEST_RFLAGS: 0x46n,
      GUEST_CR0: 0x80000031n,
      GUEST_CR3: 0xabc000n,
      GUEST_FS_BASE: 0x7f0000001000n,
      GUEST_CS_AR_BYTES: 0xa0fbn,
      GUEST_GDTR_LIMIT: 0xffn,
      GUEST_INTERRUPTIBILITY_INFO: 1n,
      GUEST_PENDING_DBG_EXCEPTIONS: 0x4000n,
    } as const;
    const information = {
      EXIT_QUALIFICATION: 0x3f8_0018n,
      VM_EXIT_INSTRUCTION_LEN: 1n,
      VMX_INSTRUCTION_INFO: 0x100n,
      GUEST_LINEAR_ADDRESS: 0xffff888000001000n,
      VM_EXIT_INTR_INFO: 0n,
    } as const;
    assert.equal(f.exit('IO_INSTRUCTION', { ...state, ...information }), 'L1');
    for (const [name, value] of Object.entries({ ...state, ...information }))
      assert.equal(f.get12(name as FieldName), value, name);
    assert.equal(f.get12('VM_EXIT_REASON'), 30n);
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), 0n);
  });

  it('writes no address and no error code that the exit does not have', () => {
    const f = new NestedFixture().launch();
    for (const [name, value] of [
      ['GUEST_LINEAR_ADDRESS', 0x11],
      ['GUEST_PHYSICAL_ADDRESS', 0x22],
      ['VM_EXIT_INTR_ERROR_CODE', 0x33],
      ['IDT_VECTORING_ERROR_CODE', 0x44],
    ] as const)
      f.processor.set(name, value);
    assert.equal(f.exit('CPUID'), 'L1');
    for (const name of [
      'GUEST_LINEAR_ADDRESS',
      'GUEST_PHYSICAL_ADDRESS',
      'VM_EXIT_INTR_ERROR_CODE',
      'IDT_VECTORING_ERROR_CODE',
    ] as const)
      assert.equal(f.get12(name), 0n, name);
  });

  it("an interrupted delivery goes to L1's IDT-vectoring information, and L0 does not repeat it", () => {
    const f = new NestedFixture().launch();
    assert.equal(
      f.exit('TASK_SWITCH', {
        IDT_VECTORING_INFO_FIELD: 0x80000b0en,
        IDT_VECTORING_ERROR_CODE: 2,
        EXIT_QUALIFICATION: 0xc0000028n,
      }),
      'L1',
    );
    assert.equal(f.get12('IDT_VECTORING_INFO_FIELD'), 0x80000b0en);
    assert.equal(f.get12('IDT_VECTORING_ERROR_CODE'), 2n);
    assert.equal(f.fixture.injected, undefined);
    assert.equal(f.vcpu.state.vectoring, 0);
  });

  it('clears the valid bit of the event that L1 injected, and marks the VMCS launched', () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030));
    assert.deepEqual(f.fixture.injected, { vector: 0x30, type: 0 });
    assert.equal(f.exit('CPUID'), 'L1');
    assert.equal(f.get12('VM_ENTRY_INTR_INFO_FIELD'), 0x30n);
    f.withPointer('VMCLEAR', 0x302000);
    f.withPointer('VMPTRLD', 0x302000);
    assert.equal(f.get32(REGION + 8), 1);
  });

  it("a real value in a register of VMX is never mixed with L0's: host state is L1's", () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('HOST_RIP', 0x4000);
      vmcs.set('HOST_RSP', 0x5000);
      vmcs.set('HOST_GDTR_BASE', 0x6000);
      vmcs.set('HOST_FS_SELECTOR', 0);
    });
    f.exit('CPUID');
    const { processor } = f;
    const expected: { readonly [Name in FieldName]?: bigint } = {
      ...{ GUEST_RIP: 0x4000n, GUEST_RSP: 0x5000n, GUEST_RFLAGS: 2n, GUEST_DR7: 0x400n, GUEST_IA32_DEBUGCTL: 0n },
      ...{
        GUEST_CS_SELECTOR: 0x10n,
        GUEST_CS_AR_BYTES: 0xa09bn,
        GUEST_CS_LIMIT: 0xffffffffn,
        GUEST_SS_AR_BYTES: 0xc093n,
      },
      ...{
        GUEST_FS_AR_BYTES: 0x10000n,
        GUEST_FS_BASE: 0x00007fff00001000n,
        GUEST_TR_LIMIT: 0x67n,
        GUEST_TR_AR_BYTES: 0x8bn,
      },
      ...{
        GUEST_LDTR_AR_BYTES: 0x10000n,
        GUEST_GDTR_BASE: 0x6000n,
        GUEST_GDTR_LIMIT: 0xffffn,
        GUEST_IDTR_LIMIT: 0xffffn,
      },
      ...{
        GUEST_INTERRUPTIBILITY_INFO: 0n,
        GUEST_PENDING_DBG_EXCEPTIONS: 0n,
        GUEST_ACTIVITY_STATE: 0n,
        GUEST_IA32_EFER: 0x500n,
      },
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(processor.get(name as FieldName), value, name);
    assert.equal(f.vcpu.cr0, 0x80050033);
    assert.equal(processor.currentVmcs, f.vcpu.vmcs01);
  });
});

describe('what an exit saves and loads by control', () => {
  const DR7 = { GUEST_DR7: 0x455, GUEST_IA32_DEBUGCTL: 2 } as const;
  it("debug controls are saved only if L1 asks, and L2 has L1's unless they are loaded", () => {
    const f = new NestedFixture().start().writeExample((vmcs) => vmcs.set('GUEST_DR7', 0x433));
    f.processor.set('GUEST_DR7', 0x411);
    f.execute('VMLAUNCH');
    assert.equal(f.processor.get('GUEST_DR7'), 0x411n, "not loaded: L1's");
    f.exit('CPUID', DR7);
    assert.equal(f.get12('GUEST_DR7'), 0x433n, 'not saved');
    const g = new NestedFixture().launch(
      (vmcs) => (vmcs.or('VM_ENTRY_CONTROLS', 4), vmcs.or('VM_EXIT_CONTROLS', 4), vmcs.set('GUEST_DR7', 0x433)),
    );
    assert.equal(g.processor.get('GUEST_DR7'), 0x433n);
    g.exit('CPUID', DR7);
    assert.equal(g.get12('GUEST_DR7'), 0x455n);
    assert.equal(g.get12('GUEST_IA32_DEBUGCTL'), 2n);
  });
  it('IA32_EFER and IA32_PAT: field, or what the other level has', () => {
    const loads: Change = (vmcs) => {
      vmcs.or('VM_ENTRY_CONTROLS', (1 << 14) | (1 << 15));
      vmcs.or('VM_EXIT_CONTROLS', (1 << 18) | (1 << 19) | (1 << 20) | (1 << 21));
      vmcs.set('GUEST_IA32_EFER', 0xd00);
      vmcs.set('GUEST_IA32_PAT', 0x06060606, 0);
    };
    const f = new NestedFixture().launch(loads);
    assert.equal(f.processor.get('GUEST_IA32_EFER'), 0xd00n);
    assert.equal(f.processor.get('GUEST_IA32_PAT'), 0x06060606n);
    f.exit('CPUID', { GUEST_IA32_EFER: 0xd01, GUEST_IA32_PAT: 0x04n });
    assert.equal(f.get12('GUEST_IA32_EFER'), 0xd01n);
    assert.equal(f.get12('GUEST_IA32_PAT'), 0x04n);
    assert.equal(f.processor.get('GUEST_IA32_EFER'), 0xd01n, 'host field of the example');
    assert.equal(f.processor.get('GUEST_IA32_PAT'), 0x0007040600070406n);
    const g = new NestedFixture().launch();
    g.exit('CPUID', { GUEST_IA32_PAT: 0x05n, GUEST_IA32_EFER: 0x501 });
    assert.equal(g.processor.get('GUEST_IA32_PAT'), 0x05n, "not loaded: L2's stays");
    assert.equal(g.processor.get('GUEST_IA32_EFER'), 0x501n, "SCE stays, LMA and LME are the host's");
  });
  it('"IA-32e mode guest" follows L2 where the processor stores it', () => {
    const f = new NestedFixture().launch();
    f.processor.set('VM_ENTRY_CONTROLS', f.processor.get('VM_ENTRY_CONTROLS') & ~0x200n);
    f.exit('CPUID', { GUEST_IA32_EFER: 0 });
    assert.equal(f.get12('VM_ENTRY_CONTROLS') & 0x200n, 0n);
  });
  it("page-directory pointers: saved with EPT; under shadow-on-EPT the hardware has them from L1's memory", () => {
    const pae: Change = (vmcs) => {
      vmcs.clear('VM_ENTRY_CONTROLS', 0x200);
      vmcs.set('GUEST_CS_AR_BYTES', 0xc09b);
      vmcs.set('GUEST_RIP', 0x1000);
      vmcs.set('GUEST_CR3', 0x800020);
    };
    const f = new NestedFixture().start();
    f.put64(0x800020, 0x801001n);
    f.put64(0x800038, 0x804001n);
    f.writeExample(pae);
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.equal(f.processor.get('GUEST_PDPTR0'), 0x801001n);
    assert.equal(f.processor.get('GUEST_PDPTR3'), 0x804001n);
    f.exit('CPUID', { GUEST_PDPTR0: 5 });
    assert.equal(f.get12('GUEST_PDPTR0'), 0n);
    const broken = new NestedFixture().start();
    broken.put64(0x800020, 0x801007n);
    broken.writeExample(pae);
    assert.equal(broken.execute('VMLAUNCH'), 'host');
    assert.equal(broken.get12('EXIT_QUALIFICATION'), 2n);
  });
  it('page-directory pointers are not saved without PAE paging', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
      vmcs.or('SECONDARY_VM_EXEC_CONTROL', 2);
      vmcs.set('EPT_POINTER', 0x40001e);
      vmcs.set('GUEST_PDPTR0', 0x801001);
    });
    f.exit('CPUID', { GUEST_PDPTR0: 5 });
    assert.equal(f.get12('GUEST_PDPTR0'), 0x801001n);
  });
  it('blocking by NMI after the exit', () => {
    const after = (pin: number, blocking: number): bigint => {
      const f = new NestedFixture().launch((vmcs) => vmcs.or('PIN_BASED_VM_EXEC_CONTROL', pin));
      f.exit('CPUID', { GUEST_INTERRUPTIBILITY_INFO: blocking });
      return f.processor.get('GUEST_INTERRUPTIBILITY_INFO');
    };
    assert.equal(after(0, 8), 8n, "L2's NMIs were L1's");
    assert.equal(after(0, 0), 0n);
    assert.equal(after(0x28, 8), 0n, 'virtual NMIs');
  });
});

describe('a failed entry', () => {
  it("on guest state: reason with bit 31, qualification, L1's host state, and nothing else is written", () => {
    const f = new NestedFixture().start().writeExample((vmcs) => {
      vmcs.set('GUEST_RFLAGS', 0);
      vmcs.set('VM_EXIT_MSR_STORE_COUNT', 1);
      vmcs.set('VM_EXIT_MSR_STORE_ADDR', MSR_LIST);
    });
    f.put64(MSR_LIST, 0xc0000081n);
    f.put64(MSR_LIST + 8, 0x99n);
    for (const name of ['VM_EXIT_INTR_INFO', 'VM_EXIT_INSTRUCTION_LEN', 'IDT_VECTORING_INFO_FIELD'] as const)
      f.vmwrite(ENCODING[name], 0x77);
    const before = fields(f);
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.get12('VM_EXIT_REASON'), 0x80000021n);
    assert.equal(f.get12('EXIT_QUALIFICATION'), 0n);
    for (const name of ['VM_EXIT_INTR_INFO', 'VM_EXIT_INSTRUCTION_LEN', 'IDT_VECTORING_INFO_FIELD'] as const)
      assert.equal(f.get12(name), 0x77n, name);
    assert.deepEqual(fields(f), before);
    assert.equal(f.processor.get('GUEST_RIP'), HOST_RIP);
    assert.equal(f.get32(MSR_LIST + 8), 0x99, 'no MSR was stored');
    assert.equal(f.processor.currentVmcs, f.vcpu.vmcs01, 'nothing of L2 stays behind (CVE-2026-68081, CVE-2026-99176)');
    assert.equal(f.vcpu.state.level, 1);
  });
  it('on the link pointer: qualification 4', () => {
    const f = new NestedFixture().start().writeExample((vmcs) => vmcs.set('VMCS_LINK_POINTER', 0x1001, 0));
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.get12('EXIT_QUALIFICATION'), 4n);
  });
  it('on the MSR list: reason 34, the number of the entry, and vmcs02 is made anew afterwards', () => {
    const f = new NestedFixture().start().writeExample((vmcs) => {
      vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 2);
      vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST);
    });
    f.put64(MSR_LIST, 0x175n);
    f.put64(MSR_LIST + 8, 0x1000n);
    f.put64(MSR_LIST + 16, 0xc0000100n);
    assert.equal(f.execute('VMLAUNCH'), 'host');
    assert.equal(f.get12('VM_EXIT_REASON'), 0x80000022n);
    assert.equal(f.get12('EXIT_QUALIFICATION'), 2n);
    assert.equal(f.get12('GUEST_SYSENTER_ESP'), 0n, 'state is not saved');
    f.vmwrite(ENCODING.VM_ENTRY_MSR_LOAD_COUNT, 0);
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.equal(f.processor.get('GUEST_SYSENTER_ESP'), 0n);
  });
});

describe('MSR lists', () => {
  const lists: Change = (vmcs) => {
    vmcs.set('VM_ENTRY_MSR_LOAD_COUNT', 2);
    vmcs.set('VM_ENTRY_MSR_LOAD_ADDR', MSR_LIST);
    vmcs.set('VM_EXIT_MSR_STORE_COUNT', 2);
    vmcs.set('VM_EXIT_MSR_STORE_ADDR', MSR_LIST + 0x100);
    vmcs.set('VM_EXIT_MSR_LOAD_COUNT', 1);
    vmcs.set('VM_EXIT_MSR_LOAD_ADDR', MSR_LIST + 0x200);
  };
  const make = (profile: 'paper-1' | 'modern-1'): NestedFixture => {
    const f = new NestedFixture(profile).start();
    f.put64(MSR_LIST, 0xc0000081n);
    f.put64(MSR_LIST + 8, 0x22n);
    f.put64(MSR_LIST + 16, 0xc0000080n);
    f.put64(MSR_LIST + 24, 0xd01n);
    f.put64(MSR_LIST + 0x100, 0xc0000081n);
    f.put64(MSR_LIST + 0x110, 0x10n);
    f.put64(MSR_LIST + 0x200, 0xc0000081n);
    f.put64(MSR_LIST + 0x208, 0x11n);
    f.writeExample(lists);
    return f;
  };
  for (const profile of PROFILE_NAMES) {
    it(`are processed in software, also for IA32_EFER (${profile})`, () => {
      const f = make(profile);
      f.vcpu.tsc.write(0x5000, 0);
      assert.equal(f.execute('VMLAUNCH'), 'L2');
      assert.equal(f.processor.unsaved.get('star'), 0x22n);
      assert.equal(f.vcpu.efer, 0xd01);
      if (profile === 'paper-1') assert.equal(f.fixture.machine.memory.read32(f.vcpu.pages.msrList + 8), 0xd01);
      f.processor.unsaved.set('star', 0x33n);
      assert.equal(f.exit('CPUID'), 'L1');
      assert.equal(f.get32(MSR_LIST + 0x108), 0x33);
      assert.ok(Math.abs(f.get32(MSR_LIST + 0x118) - 0x5000) < 10, 'the counter is stored as L1 sees it');
      assert.equal(f.processor.unsaved.get('star'), 0x11n);
      assert.equal(f.vcpu.efer & 0x501, 0x501, 'LMA and LME as the host, SCE as L2 left it');
    });
  }
  it('an MSR that cannot be stored or loaded is a VMX abort', () => {
    const f = new NestedFixture().launch(
      (vmcs) => (vmcs.set('VM_EXIT_MSR_LOAD_COUNT', 1), vmcs.set('VM_EXIT_MSR_LOAD_ADDR', MSR_LIST)),
    );
    f.put64(MSR_LIST, 0xc0000101n);
    f.exit('CPUID');
    assert.equal(f.get32(REGION + 4), 4);
    assert.deepEqual(f.fixture.ends, ['shutdown 0, VMX abort 4']);
    assert.equal(f.vcpu.state.activity, 2);
  });
  it('after a VMX abort nobody is entered, not even where the exit came of what L0 does before an entry', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.set('VM_EXIT_MSR_LOAD_COUNT', 1);
      vmcs.set('VM_EXIT_MSR_LOAD_ADDR', MSR_LIST);
      vmcs.set('EXCEPTION_BITMAP', 0xffffffff);
    });
    f.put64(MSR_LIST, 0xc0000101n);
    f.vcpu.raise(13, 0);
    assert.equal(f.fixture.exit('EXTERNAL_INTERRUPT'), 'halt');
    assert.deepEqual(f.fixture.ends, ['shutdown 0, VMX abort 4']);
  });
});

describe('the clock', () => {
  it('an exit of L2 counts where the bare machine has counted its instruction', () => {
    const ticks = (make: (f: NestedFixture) => 'L1' | 'L2', change: Change = () => {}): number => {
      const f = new NestedFixture().launch(change);
      const before = f.processor.ticks;
      make(f);
      return f.processor.ticks - before;
    };
    const all: Change = (vmcs) => vmcs.set('EXCEPTION_BITMAP', 0xffffffff);
    assert.equal(
      ticks((f) => f.exit('CPUID')),
      1,
    );
    assert.equal(
      ticks((f) => f.exit('TRIPLE_FAULT')),
      1,
    );
    assert.equal(
      ticks((f) => f.exit('EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000b0en }), all),
      1,
    );
    assert.equal(
      ticks((f) => f.exit('EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000301n }), all),
      0,
      'a debug trap comes after its instruction',
    );
    assert.equal(
      ticks(
        (f) => f.exit('EXCEPTION_NMI', { VM_EXIT_INTR_INFO: 0x80000b08n, IDT_VECTORING_INFO_FIELD: 0x80000030n }),
        all,
      ),
      0,
      'in the delivery of an interrupt',
    );
    assert.equal(
      ticks((f) => f.exit('EXTERNAL_INTERRUPT')),
      0,
    );
    assert.equal(
      ticks(
        (f) => f.exit('INTERRUPT_WINDOW'),
        (vmcs) => vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 4),
      ),
      0,
    );
  });
  it('VMLAUNCH counts one, whether it enters or fails', () => {
    const f = new NestedFixture().start().writeExample();
    const before = f.processor.ticks;
    f.execute('VMLAUNCH');
    assert.equal(f.processor.ticks - before, 1);
  });
});
