// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENCODING } from '../../arch/vmx/fields.ts';
import { encodeMemoryOperand, encodeVmreadVmwrite } from '../../arch/vmx/instruction-information.ts';
import { NestedFixture, OPERAND, OTHER_REGION, REGION, VMXON_REGION } from './nested-fixture.testing.ts';
import type { Outcome } from './nested-fixture.testing.ts';

const UD = '#6';
const GP = '#13';
const MEMORY = encodeMemoryOperand({ addressSize: 64, segment: 3, base: 3 });
const BEYOND_WIDTH = 1n << 39n;

type Example = readonly [what: string, run: (f: NestedFixture) => Outcome, expected: Outcome];
const fresh = (): NestedFixture => new NestedFixture();
const on = (): NestedFixture => {
  const f = new NestedFixture();
  assert.equal(f.withPointer('VMON', VMXON_REGION), 'succeed');
  return f;
};
const current = (): NestedFixture => new NestedFixture().start();

function table(make: () => NestedFixture, examples: readonly Example[]): void {
  for (const [what, run, expected] of examples) it(`${what}: ${expected}`, () => assert.equal(run(make()), expected));
}

const NO_OPERAND = ['VMOFF', 'VMLAUNCH', 'VMRESUME', 'VMCALL'] as const;
const POINTER = ['VMCLEAR', 'VMPTRLD', 'VMPTRST'] as const;

describe('VMX instructions outside VMX operation', () => {
  table(fresh, [
    ...NO_OPERAND.map((name): Example => [name, (f) => f.execute(name), UD]),
    ...POINTER.map((name): Example => [name, (f) => f.withPointer(name, REGION), UD]),
    ['VMREAD', (f) => f.vmread(ENCODING.GUEST_RIP).outcome, UD],
    ['VMWRITE', (f) => f.vmwrite(ENCODING.GUEST_RIP, 0), UD],
    ['INVEPT', (f) => f.invalidate('INVEPT', 2, 0n), UD],
    ['INVVPID', (f) => f.invalidate('INVVPID', 2, 0n), UD],
    ['VMFUNC', (f) => f.execute('VMFUNC'), UD],
  ]);
});

describe('the privilege level is checked before a VMX instruction is emulated (CVE-2018-12904)', () => {
  const unprivileged = (): NestedFixture => {
    const f = current();
    f.processor.set('GUEST_SS_AR_BYTES', 0xc0f3);
    return f;
  };
  table(unprivileged, [
    ...NO_OPERAND.map((name): Example => [name, (f) => f.execute(name), GP]),
    ...POINTER.map((name): Example => [name, (f) => f.withPointer(name, REGION), GP]),
    ['VMXON', (f) => f.withPointer('VMON', VMXON_REGION), GP],
    ['VMREAD', (f) => f.vmread(ENCODING.GUEST_RIP).outcome, GP],
    ['VMWRITE', (f) => f.vmwrite(ENCODING.GUEST_RIP, 0), GP],
    ['INVEPT has a handler (CVE-2014-3645)', (f) => f.invalidate('INVEPT', 2, 0n), GP],
    ['INVVPID has a handler (CVE-2014-3646)', (f) => f.invalidate('INVVPID', 2, 0n), GP],
  ]);
});

describe('VMXON', () => {
  table(fresh, [
    ['with everything in place', (f) => f.withPointer('VMON', VMXON_REGION), 'succeed'],
    ['without CR4.VMXE', (f) => (f.processor.set('CR4_READ_SHADOW', 0x20), f.withPointer('VMON', VMXON_REGION)), UD],
    [
      'with a bit of CR0 that VMX operation fixes at 0: #GP, not #UD',
      (f) => (f.processor.set('CR0_READ_SHADOW', 0x80000011), f.withPointer('VMON', VMXON_REGION)),
      GP,
    ],
    ['not aligned', (f) => f.withPointer('VMON', VMXON_REGION + 8), 'fail invalid'],
    ['beyond the physical-address width', (f) => f.withPointer('VMON', BEYOND_WIDTH), 'fail invalid'],
    ['where there is no memory', (f) => f.withPointer('VMON', 0x7000000), 'fail invalid'],
    ['with another revision', (f) => (f.put32(VMXON_REGION, 1), f.withPointer('VMON', VMXON_REGION)), 'fail invalid'],
    [
      'with the shadow-VMCS bit',
      (f) => (f.put32(VMXON_REGION, (f.revision | 0x80000000) >>> 0), f.withPointer('VMON', VMXON_REGION)),
      'fail invalid',
    ],
  ]);
  it('needs IA32_FEATURE_CONTROL locked and enabled', () => {
    const f = fresh();
    const { msrs } = f.vcpu.state;
    msrs[2 * (f.fixture.l0.l1.msrNumbers.get(0x3a) ?? -1)] = 1;
    assert.equal(f.withPointer('VMON', VMXON_REGION), GP);
  });
  it('in root operation fails before all else, and says so where it can', () => {
    assert.equal(on().withPointer('VMON', 0x123), 'fail invalid');
    assert.equal(current().withPointer('VMON', 0x123), 'fail 15');
  });
  it('a failed VMXON leaves nothing behind (CVE-2017-2596)', () => {
    const f = fresh();
    const before = f.fixture.l0.allocator.free;
    f.withPointer('VMON', VMXON_REGION + 8);
    assert.equal(f.nestedVcpu.state.vmxOperation, 0);
    assert.equal(f.fixture.l0.allocator.free, before);
  });
});

describe('VMCLEAR', () => {
  table(current, [
    ['not aligned', (f) => f.withPointer('VMCLEAR', REGION + 4), 'fail 2'],
    ['beyond the physical-address width', (f) => f.withPointer('VMCLEAR', BEYOND_WIDTH), 'fail 2'],
    ['the VMXON pointer', (f) => f.withPointer('VMCLEAR', VMXON_REGION), 'fail 3'],
    ['another region', (f) => f.withPointer('VMCLEAR', OTHER_REGION), 'succeed'],
  ]);
  table(on, [['the VMXON pointer, no current VMCS', (f) => f.withPointer('VMCLEAR', VMXON_REGION), 'fail invalid']]);
  it("puts the current VMCS back into L1's memory and leaves none", () => {
    const f = current();
    f.vmwrite(ENCODING.GUEST_RSP, 0x1234);
    assert.equal(f.withPointer('VMCLEAR', REGION), 'succeed');
    assert.equal(f.vmread(ENCODING.GUEST_RSP).outcome, 'fail invalid');
    f.withPointer('VMPTRLD', REGION);
    assert.equal(f.vmread(ENCODING.GUEST_RSP).value, 0x1234n);
  });
  it('sets the launch state in memory', () => {
    const f = current();
    f.put32(OTHER_REGION + 8, 1);
    f.withPointer('VMCLEAR', OTHER_REGION);
    assert.equal(f.get32(OTHER_REGION + 8), 0);
  });
});

describe('VMPTRLD and VMPTRST', () => {
  table(current, [
    ['VMPTRLD not aligned', (f) => f.withPointer('VMPTRLD', REGION + 1), 'fail 9'],
    ['VMPTRLD beyond the width', (f) => f.withPointer('VMPTRLD', BEYOND_WIDTH), 'fail 9'],
    ['VMPTRLD of the VMXON pointer', (f) => f.withPointer('VMPTRLD', VMXON_REGION), 'fail 10'],
    ['VMPTRLD where memory reads as all ones', (f) => f.withPointer('VMPTRLD', 0x7000000), 'fail 11'],
    [
      'VMPTRLD of another revision',
      (f) => (f.put32(OTHER_REGION, 5), f.withPointer('VMPTRLD', OTHER_REGION)),
      'fail 11',
    ],
    [
      'VMPTRLD of a shadow VMCS',
      (f) => (f.put32(OTHER_REGION, (f.revision | 0x80000000) >>> 0), f.withPointer('VMPTRLD', OTHER_REGION)),
      'succeed',
    ],
  ]);
  it('a shadow VMCS needs VMCS shadowing', () => {
    const f = new NestedFixture('paper-1').start();
    f.put32(OTHER_REGION, (f.revision | 0x80000000) >>> 0);
    assert.equal(f.withPointer('VMPTRLD', OTHER_REGION), 'fail 11');
  });
  it('a shadow VMCS cannot be entered', () => {
    const f = current();
    f.put32(OTHER_REGION, (f.revision | 0x80000000) >>> 0);
    f.withPointer('VMPTRLD', OTHER_REGION);
    assert.equal(f.execute('VMLAUNCH'), 'fail invalid');
  });
  it('VMPTRST stores the pointer, all ones if there is none', () => {
    const none = on();
    assert.equal(none.withPointer('VMPTRST', 0), 'succeed');
    assert.deepEqual([none.get32(OPERAND), none.get32(OPERAND + 4)], [0xffffffff, 0xffffffff]);
    const f = current();
    assert.equal(f.withPointer('VMPTRST', 0), 'succeed');
    assert.deepEqual([f.get32(OPERAND), f.get32(OPERAND + 4)], [REGION, 0]);
  });
  it("the region in L1's memory is out of reach while it is current (CVE-2021-29657)", () => {
    const f = current();
    f.vmwrite(ENCODING.GUEST_RSP, 1);
    for (let at = REGION + 4; at < REGION + 4096; at += 4) f.put32(at, 0x55555555);
    assert.equal(f.vmread(ENCODING.GUEST_RSP).value, 1n);
  });
});

describe('VMREAD and VMWRITE', () => {
  table(on, [
    ['VMREAD without a current VMCS', (f) => f.vmread(ENCODING.GUEST_RIP).outcome, 'fail invalid'],
    ['VMWRITE without a current VMCS', (f) => f.vmwrite(ENCODING.GUEST_RIP, 0), 'fail invalid'],
  ]);
  table(current, [
    ['VMREAD of an encoding that is none', (f) => f.vmread(0x7ffe).outcome, 'fail 12'],
    ['VMREAD of an encoding beyond 32 bits', (f) => f.vmread(0x1_0000_681en).outcome, 'fail 12'],
    ['VMREAD of a field that no profile has', (f) => f.vmread(ENCODING.PML_ADDRESS).outcome, 'fail 12'],
    ['VMREAD of the upper half of a 32-bit field', (f) => f.vmread(ENCODING.EXCEPTION_BITMAP + 1).outcome, 'fail 12'],
    ['VMWRITE of an encoding that is none', (f) => f.vmwrite(0x7ffe, 0), 'fail 12'],
    ['VMWRITE of an exit-information field, modern', (f) => f.vmwrite(ENCODING.EXIT_QUALIFICATION, 0), 'succeed'],
  ]);
  it('VMWRITE of an exit-information field, paper: 13', () => {
    assert.equal(new NestedFixture('paper-1').start().vmwrite(ENCODING.EXIT_QUALIFICATION, 0), 'fail 13');
  });
  it('cuts values to the field, and knows upper halves', () => {
    const f = current();
    f.vmwrite(ENCODING.GUEST_CS_SELECTOR, 0x12345678);
    assert.equal(f.vmread(ENCODING.GUEST_CS_SELECTOR).value, 0x5678n);
    f.vmwrite(ENCODING.EXCEPTION_BITMAP, 0x1_2345_6789n);
    assert.equal(f.vmread(ENCODING.EXCEPTION_BITMAP).value, 0x23456789n);
    f.vmwrite(ENCODING.TSC_OFFSET, 0x1122334455667788n);
    f.vmwrite(ENCODING.TSC_OFFSET + 1, 0x99aabbccn);
    assert.equal(f.vmread(ENCODING.TSC_OFFSET).value, 0x99aabbcc55667788n);
    assert.equal(f.vmread(ENCODING.TSC_OFFSET + 1).value, 0x99aabbccn);
  });
  it('outside 64-bit mode moves 32 bits, and cuts the encoding to 32', () => {
    const f = current();
    f.vmwrite(ENCODING.GUEST_RSP, 0x1122334455667788n);
    f.processor.set('GUEST_IA32_EFER', 0);
    f.processor.set('GUEST_CS_AR_BYTES', 0xc09b);
    assert.equal(f.vmread(0x7_0000_0000n + BigInt(ENCODING.GUEST_RSP)).value, 0x55667788n);
    f.vmwrite(ENCODING.GUEST_RSP, 0xaaaaaaaabbbbbbbbn);
    assert.equal(f.get12('GUEST_RSP'), 0xbbbbbbbbn, 'the upper half is cleared');
  });
  it('a page fault on the memory operand changes no flags and no field', () => {
    const f = current();
    f.processor.general[3] = 0x7000_0000_0000n;
    f.processor.general[1] = BigInt(ENCODING.GUEST_RIP);
    const information = encodeVmreadVmwrite({ memory: { addressSize: 64, segment: 3, base: 3 } }, 1);
    assert.equal(f.execute('VMREAD', { VMX_INSTRUCTION_INFO: information }), '#14');
    assert.equal(f.processor.get('GUEST_RFLAGS') & 0x8d5n, 0x8d5n);
    assert.equal(f.processor.unsaved.get('cr2'), 0x7000_0000_0000n);
    assert.deepEqual(f.fixture.injected, { vector: 14, type: 3, errorCode: 2 });
  });
  it('memory operands: base, index, scale and displacement; segment bases count for FS and GS only', () => {
    const f = current();
    f.vmwrite(ENCODING.GUEST_RSP, 0xabcdn);
    f.processor.set('GUEST_DS_BASE', 0x5555);
    f.processor.set('GUEST_FS_BASE', 0x1000);
    f.processor.general[3] = BigInt(OPERAND);
    f.processor.general[5] = 0x20n;
    f.processor.general[1] = BigInt(ENCODING.GUEST_RSP);
    const read = (segment: number): Outcome =>
      f.execute('VMREAD', {
        VMX_INSTRUCTION_INFO: encodeVmreadVmwrite(
          { memory: { addressSize: 64, segment, base: 3, index: 5, scale: 4 } },
          1,
        ),
        EXIT_QUALIFICATION: 0xffff_ffff_ffff_fff8n,
      });
    assert.equal(read(3), 'succeed');
    assert.equal(f.get32(OPERAND + 0x80 - 8), 0xabcd);
    assert.equal(read(4), 'succeed');
    assert.equal(f.get32(OPERAND + 0x1000 + 0x80 - 8), 0xabcd);
  });
  it('an address that is not canonical is #GP, through SS #SS', () => {
    const f = current();
    f.processor.general[3] = 0x8000_0000_0000n;
    assert.equal(f.execute('VMPTRLD', { VMX_INSTRUCTION_INFO: MEMORY }), '#13');
    const g = current();
    g.processor.general[3] = 0x8000_0000_0000n;
    assert.equal(
      g.execute('VMPTRLD', { VMX_INSTRUCTION_INFO: encodeMemoryOperand({ addressSize: 64, segment: 2, base: 3 }) }),
      '#12',
    );
  });
});

describe('INVEPT and INVVPID', () => {
  const EPTP = 0x400000n + 0x1en;
  table(current, [
    ['INVEPT single-context', (f) => f.invalidate('INVEPT', 1, EPTP), 'succeed'],
    ['INVEPT single-context with a null EPTP (CVE-2017-8106)', (f) => f.invalidate('INVEPT', 1, 0n), 'fail 28'],
    ['INVEPT single-context beyond the width', (f) => f.invalidate('INVEPT', 1, EPTP | BEYOND_WIDTH), 'fail 28'],
    ['INVEPT with a reserved bit', (f) => f.invalidate('INVEPT', 1, EPTP | 0x80n), 'fail 28'],
    ['INVEPT all contexts, whatever the descriptor', (f) => f.invalidate('INVEPT', 2, 0n), 'succeed'],
    ['INVEPT type 0', (f) => f.invalidate('INVEPT', 0, EPTP), 'fail 28'],
    ['INVEPT type 3', (f) => f.invalidate('INVEPT', 3, EPTP), 'fail 28'],
    ['INVEPT type beyond 32 bits', (f) => f.invalidate('INVEPT', 0x1_0000_0002n, EPTP), 'fail 28'],
    ['INVVPID address', (f) => f.invalidate('INVVPID', 0, 1n, 0x1000n), 'succeed'],
    ['INVVPID address that is not canonical', (f) => f.invalidate('INVVPID', 0, 1n, 0x8000_0000_0000n), 'fail 28'],
    ['INVVPID address with VPID 0', (f) => f.invalidate('INVVPID', 0, 0n, 0n), 'fail 28'],
    ['INVVPID single-context', (f) => f.invalidate('INVVPID', 1, 5n), 'succeed'],
    ['INVVPID single-context with VPID 0', (f) => f.invalidate('INVVPID', 1, 0n), 'fail 28'],
    ['INVVPID all contexts with VPID 0', (f) => f.invalidate('INVVPID', 2, 0n), 'succeed'],
    ['INVVPID retaining globals', (f) => f.invalidate('INVVPID', 3, 5n), 'succeed'],
    ['INVVPID retaining globals with VPID 0', (f) => f.invalidate('INVVPID', 3, 0n), 'fail 28'],
    ['INVVPID with reserved bits', (f) => f.invalidate('INVVPID', 1, 0x10005n), 'fail 28'],
    ['INVVPID type 4', (f) => f.invalidate('INVVPID', 4, 5n), 'fail 28'],
  ]);
  it('the paper profile has no INVVPID by address', () => {
    assert.equal(new NestedFixture('paper-1').start().invalidate('INVVPID', 0, 1n), 'fail 28');
  });
  it('the operand is read before the type is looked at', () => {
    const f = current();
    f.processor.general[3] = 0x7000_0000_0000n;
    f.processor.general[0] = 9n;
    assert.equal(f.execute('INVEPT', { VMX_INSTRUCTION_INFO: MEMORY }), '#14');
  });
  it("INVVPID goes to L2's tags and never to L1's own", () => {
    const f = current();
    f.processor.invalidations.length = 0;
    f.invalidate('INVVPID', 1, 1n);
    assert.deepEqual(f.processor.invalidations, [], 'VPID12 1 has no tag yet; L1 itself runs with hardware VPID 1');
  });
});

describe('VMLAUNCH and VMRESUME, before the VMCS is looked at', () => {
  table(on, [
    ['VMLAUNCH without a current VMCS', (f) => f.execute('VMLAUNCH'), 'fail invalid'],
    ['VMRESUME without a current VMCS', (f) => f.execute('VMRESUME'), 'fail invalid'],
  ]);
  table(
    () => current().writeExample(),
    [
      ['VMRESUME of a clear VMCS', (f) => f.execute('VMRESUME'), 'fail 5'],
      ['VMLAUNCH while MOV SS blocks', (f) => f.execute('VMLAUNCH', { GUEST_INTERRUPTIBILITY_INFO: 2 }), 'fail 26'],
      [
        'VMLAUNCH with a control that the processor does not have',
        (f) => (f.vmwrite(ENCODING.PIN_BASED_VM_EXEC_CONTROL, 0xff), f.execute('VMLAUNCH')),
        'fail 7',
      ],
      [
        'VMLAUNCH with a host state that cannot be',
        (f) => (f.vmwrite(ENCODING.HOST_CS_SELECTOR, 0), f.execute('VMLAUNCH')),
        'fail 8',
      ],
      [
        'VMLAUNCH with CR0 that cannot be is an exit (CVE-2023-30456)',
        (f) => (f.vmwrite(ENCODING.GUEST_CR0, 0x80000000), f.execute('VMLAUNCH')),
        'host',
      ],
      ['VMLAUNCH', (f) => f.execute('VMLAUNCH'), 'L2'],
    ],
  );
  it('VMLAUNCH of a launched VMCS: 4', () => {
    const f = new NestedFixture().launch();
    assert.equal(f.exit('CPUID'), 'L1');
    assert.equal(f.execute('VMLAUNCH'), 'fail 4');
    assert.equal(f.execute('VMRESUME'), 'L2');
  });
  it('a launch that failed leaves the VMCS clear', () => {
    const f = current().writeExample((vmcs) => vmcs.set('GUEST_RFLAGS', 0));
    assert.equal(f.execute('VMLAUNCH'), 'host');
    f.vmwrite(ENCODING.GUEST_RFLAGS, 2);
    assert.equal(f.execute('VMRESUME'), 'fail 5');
    assert.equal(f.execute('VMLAUNCH'), 'L2');
  });
});

describe('VMXOFF and VMCALL', () => {
  table(current, [
    ['VMCALL in root operation', (f) => f.execute('VMCALL'), 'fail 1'],
    ['VMXOFF', (f) => f.execute('VMOFF'), 'succeed'],
    ['VMFUNC in root operation', (f) => f.execute('VMFUNC'), UD],
  ]);
  table(on, [['VMCALL without a current VMCS', (f) => f.execute('VMCALL'), 'fail invalid']]);
  it('VMXOFF drops everything of L2: the VMCS is in memory, the tables are given back', () => {
    const f = new NestedFixture().launch((vmcs) => {
      vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
      vmcs.set('SECONDARY_VM_EXEC_CONTROL', 2);
      vmcs.set('EPT_POINTER', 0x40001e);
    });
    assert.equal(f.nestedVcpu.multiDimensional.state.pages, 1);
    f.exit('CPUID');
    assert.equal(f.execute('VMOFF'), 'succeed');
    assert.equal(f.nestedVcpu.multiDimensional.state.pages, 0);
    assert.equal(f.execute('VMRESUME'), UD);
    assert.equal(f.get32(REGION + 8), 1, 'launched');
  });
  it('INIT is blocked in root operation, and not outside', () => {
    assert.equal(current().nested.blocksInit(current().vcpu), true);
    const f = fresh();
    assert.equal(f.nested.blocksInit(f.vcpu), false);
  });
});
