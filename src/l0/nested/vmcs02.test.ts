// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { allFailures } from '../../arch/vmx/entry-checks.ts';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING, FIELDS, fieldNamed } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { processorFacts } from '../../arch/vmx/processor-facts.ts';
import { PROFILES, PROFILE_NAMES } from '../../arch/vmx/profiles.ts';
import type { ProfileName } from '../../arch/vmx/profiles.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { ProcessorView } from './composition.ts';
import { FIELD_ORIGINS, FIELDS_WITHOUT_ORIGIN, originOf } from './field-origins.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

const SECONDARY = 0x80000000;
const EPT = 2;
const VPID = 0x20;
const EPTP12 = 0x40001e;

describe('field origins', () => {
  it('every field of the VMCS has exactly one', () => {
    assert.deepEqual(FIELDS_WITHOUT_ORIGIN, []);
    assert.equal(FIELD_ORIGINS.length, FIELDS.length);
    assert.deepEqual(FIELD_ORIGINS.map(({ field }) => field).sort(), FIELDS.map(({ name }) => name).sort());
  });
  it('absent are exactly the fields that neither profile has', () => {
    const exists = (name: FieldName): boolean =>
      PROFILE_NAMES.some((profile) => fieldExists(PROFILES[profile], fieldNamed(name)));
    for (const { field, kind } of FIELD_ORIGINS) assert.equal(kind === 'absent', !exists(field), field);
  });
  it("exit information is the processor's, host state L0's, and each row says why", () => {
    for (const { field, kind, because } of FIELD_ORIGINS) {
      const { area } = fieldNamed(field);
      assert.equal(kind === 'information', area === 'exitInformation', field);
      if (area === 'host' && kind !== 'absent') assert.equal(kind, 'from01', field);
      assert.ok(because.length > 0, field);
    }
  });
  it('what an exit saves as it is was from vmcs12 as it is', () => {
    for (const { field, kind, saved } of FIELD_ORIGINS) if (saved) assert.equal(kind, 'from12', field);
    assert.equal(originOf('GUEST_RIP').saved, true);
  });
});

type Change = (vmcs: ExampleVmcs) => void;
const withSecondary =
  (bits: number, ...changes: Change[]): Change =>
  (vmcs) => {
    vmcs.or('CPU_BASED_VM_EXEC_CONTROL', SECONDARY);
    vmcs.or('SECONDARY_VM_EXEC_CONTROL', bits);
    for (const change of changes) change(vmcs);
  };
const ept = withSecondary(EPT | VPID, (vmcs) => {
  vmcs.set('EPT_POINTER', EPTP12);
  vmcs.set('VIRTUAL_PROCESSOR_ID', 7);
});

/** Rules that vmcs02 breaks on the hardware. */
function broken(f: NestedFixture): string[] {
  const context = {
    facts: processorFacts(f.processor.capabilities, 39),
    ...{ longModeActive: true, inSmm: false, currentVmcs: f.processor.currentVmcs },
    readPhysical32: (address: number) => f.fixture.machine.memory.read32(address),
  };
  return allFailures(new ProcessorView(f.processor), context).map(({ id }) => id);
}

describe('vmcs02', () => {
  const VARIANTS: readonly (readonly [string, Change])[] = [
    ['the example', () => {}],
    ['with EPT and VPID', ept],
    ['with an interrupt to inject', (vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000030)],
    [
      "with an NMI to inject, NMIs being L1's",
      (vmcs) => (vmcs.or('PIN_BASED_VM_EXEC_CONTROL', 0x28), vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000202)),
    ],
    [
      "with an NMI to inject while NMIs are blocked, NMIs being L2's",
      (vmcs) => vmcs.set('VM_ENTRY_INTR_INFO_FIELD', 0x80000202),
    ],
    [
      'with a TPR shadow',
      (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 21), vmcs.set('VIRTUAL_APIC_PAGE_ADDR', 0x500000)),
    ],
    ['halted', (vmcs) => vmcs.set('GUEST_ACTIVITY_STATE', 1)],
    [
      '32-bit',
      (vmcs) => (
        vmcs.clear('VM_ENTRY_CONTROLS', 0x200),
        vmcs.set('GUEST_CS_AR_BYTES', 0xc09b),
        vmcs.set('GUEST_RIP', 0x1000),
        vmcs.set('GUEST_CR4', 0x2000)
      ),
    ],
  ];
  for (const profile of PROFILE_NAMES) {
    for (const [what, change] of VARIANTS) {
      it(`${what}, ${profile}: passes every check of VM entry`, () => {
        const f = new NestedFixture(profile).launch(change);
        assert.deepEqual(broken(f), []);
      });
    }
  }
  it('unrestricted, in real-address mode', () => {
    const f = new NestedFixture().launch((vmcs) => {
      ept(vmcs);
      vmcs.or('SECONDARY_VM_EXEC_CONTROL', 1 << 7);
      vmcs.clear('VM_ENTRY_CONTROLS', 0x200);
      vmcs.set('GUEST_CR0', 0x20);
      vmcs.set('GUEST_CR4', 0x2000);
      vmcs.set('GUEST_RIP', 0xfff0);
      vmcs.set('GUEST_CS_AR_BYTES', 0x9b);
      vmcs.set('GUEST_CS_LIMIT', 0xffff);
      vmcs.set('GUEST_CS_BASE', 0xf0000);
      vmcs.set('GUEST_CS_SELECTOR', 0xf000);
    });
    assert.deepEqual(broken(f), []);
    assert.equal(
      f.processor.get('GUEST_IA32_EFER') & 0x500n,
      0x100n,
      'LMA follows the control, LME stays as L1 had it',
    );
  });

  const field = (name: FieldName, change: Change = () => {}, profile: ProfileName = 'modern-1'): bigint =>
    new NestedFixture(profile).launch(change).processor.get(name);

  it("guest state is L2's, host state L0's", () => {
    assert.equal(field('GUEST_RIP'), 0xffffffff81000000n);
    assert.equal(field('HOST_RIP'), 0n);
  });
  it("without a TPR shadow CR8 exits: L2 must not own the processor's TPR (CVE-2017-12154)", () => {
    assert.equal(field('CPU_BASED_VM_EXEC_CONTROL') & (3n << 19n), 3n << 19n);
    const shadow = field(
      'CPU_BASED_VM_EXEC_CONTROL',
      (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 21), vmcs.set('VIRTUAL_APIC_PAGE_ADDR', 0x500000)),
    );
    assert.equal(shadow & (7n << 19n), 4n << 19n);
  });
  it("vmcs01's windows, HLT and CR3 exiting do not become L2's", () => {
    const f = new NestedFixture().start().writeExample();
    f.processor.set('CPU_BASED_VM_EXEC_CONTROL', f.processor.get('CPU_BASED_VM_EXEC_CONTROL') | 4n | (3n << 15n));
    f.execute('VMLAUNCH');
    assert.equal(f.processor.get('CPU_BASED_VM_EXEC_CONTROL') & (4n | 0x80n | (3n << 15n) | (1n << 22n)), 0n);
  });
  it('addresses in vmcs12 become addresses of the machine; where L1 has no memory the hardware reads all ones', () => {
    const f = new NestedFixture().launch(
      (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 21), vmcs.set('VIRTUAL_APIC_PAGE_ADDR', 0x500000)),
    );
    assert.equal(f.processor.get('VIRTUAL_APIC_PAGE_ADDR'), BigInt(f.fixture.l0.l1.memory.translate(0x500000)));
    assert.notEqual(f.processor.get('VIRTUAL_APIC_PAGE_ADDR'), 0x500000n);
    const g = new NestedFixture().launch(
      (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 1 << 21), vmcs.set('VIRTUAL_APIC_PAGE_ADDR', 0x7000000)),
    );
    assert.equal(g.fixture.machine.memory.read32(Number(g.processor.get('VIRTUAL_APIC_PAGE_ADDR')) + 0x80), 0xffffffff);
  });
  it('no VMCS shadowing for L2 unless L1 gives it', () => {
    assert.equal(field('VMCS_LINK_POINTER'), 0xffffffffffffffffn);
    assert.equal(field('SECONDARY_VM_EXEC_CONTROL') & (1n << 14n), 0n);
  });
  it("L1's shadow VMCS and its bitmaps serve L2 in hardware", () => {
    const f = new NestedFixture().start();
    f.put32(0x600000, (f.revision | 0x80000000) >>> 0);
    f.writeExample(
      withSecondary(1 << 14, (vmcs) => {
        vmcs.set('VMCS_LINK_POINTER', 0x600000);
        vmcs.set('VMREAD_BITMAP', 0x601000);
        vmcs.set('VMWRITE_BITMAP', 0x602000);
      }),
    );
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    const host = (address: number): bigint => BigInt(f.fixture.l0.l1.memory.translate(address));
    assert.equal(f.processor.get('VMCS_LINK_POINTER'), host(0x600000));
    assert.equal(f.processor.get('VMREAD_BITMAP'), host(0x601000));
    assert.deepEqual(broken(f), []);
  });
  it("TSC offsets add up, and L2 without offsetting reads L1's counter", () => {
    const launch = (change: Change): NestedFixture => {
      const f = new NestedFixture().start().writeExample(change);
      f.vcpu.tsc.write(5000, 0);
      f.execute('VMLAUNCH');
      return f;
    };
    const offset01 = (f: NestedFixture): bigint =>
      (BigInt(f.vcpu.state.tscOffsetHigh) << 32n) | BigInt(f.vcpu.state.tscOffsetLow);
    const plain = launch((vmcs) => vmcs.set('TSC_OFFSET', 77));
    assert.equal(plain.processor.get('TSC_OFFSET'), offset01(plain));
    const both = launch(
      (vmcs) => (vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 8), vmcs.set('TSC_OFFSET', 0xfffffff0, 0xffffffff)),
    );
    assert.equal(both.processor.get('TSC_OFFSET'), BigInt.asUintN(64, offset01(both) - 16n));
    both.vcpu.tsc.write(9000, 0);
    assert.equal(
      both.processor.get('TSC_OFFSET'),
      BigInt.asUintN(64, offset01(both) - 16n),
      "L1's counter moves while L2 runs",
    );
  });
  describe('TSC multipliers: a shifted sum is not the sum of two shifts', () => {
    const RDTSC_EXITING = 1 << 12;
    const TWICE = { low: 0, high: 0x20000 };
    const scaled = (tsc: Halves | undefined, multiplier = TWICE): NestedFixture => {
      const f = new NestedFixture().start().writeExample(
        withSecondary(1 << 25, (vmcs) => {
          vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 8);
          vmcs.set('TSC_OFFSET', 10);
          vmcs.set('TSC_MULTIPLIER', multiplier.low, multiplier.high);
        }),
      );
      if (tsc !== undefined) f.vcpu.tsc.write(tsc.low, tsc.high);
      f.execute('VMLAUNCH');
      return f;
    };
    const exits = ({ processor }: NestedFixture): boolean =>
      (Number(processor.get('CPU_BASED_VM_EXEC_CONTROL')) & RDTSC_EXITING) !== 0;

    it("the hardware multiplies while L1 has the processor's counter", () => {
      const f = scaled(undefined);
      assert.deepEqual([f.processor.get('TSC_OFFSET'), f.processor.get('TSC_MULTIPLIER')], [10n, 2n << 48n]);
      assert.equal(exits(f), false);
    });
    it('L0 does when L1 has written its counter', () => assert.equal(exits(scaled({ low: 5000, high: 0 })), true));
    it("L0 does when L2 has written L1's counter", () => {
      const f = scaled(undefined);
      f.vcpu.tsc.write(9000, 0);
      assert.equal(f.exit('RDTSC'), 'L2');
      assert.equal(exits(f), true);
    });
    it('not with a multiplier of 1', () =>
      assert.equal(exits(scaled({ low: 5000, high: 0 }, { low: 0, high: 0x10000 })), false));
    for (const reason of ['RDTSC', 'RDTSCP'] as const)
      it(`${reason} then gives L1's counter, scaled and shifted, plus L1's offset`, () => {
        const f = scaled({ low: 0x80000000, high: 1 }, { low: 0, high: 1 });
        f.processor.writeRegister('tscAux', 77, 0);
        const rcx = f.processor.general[1];
        assert.equal(f.exit(reason), 'L2');
        const now: Halves = { low: 0, high: 0 };
        f.vcpu.tsc.read(now);
        const tsc = (BigInt(now.high) << 32n) | BigInt(now.low);
        assert.ok(tsc >= 3n << 31n);
        assert.deepEqual([f.processor.general[0], f.processor.general[2]], [(tsc >> 16n) + 10n, 0n]);
        assert.equal(f.processor.general[1], reason === 'RDTSCP' ? 77n : rcx);
      });
  });
  it("page faults: L1's filter in hardware, unless L0 wants page faults itself", () => {
    const filter: Change = (vmcs) => (
      vmcs.set('EXCEPTION_BITMAP', 1 << 14),
      vmcs.set('PAGE_FAULT_ERROR_CODE_MASK', 5),
      vmcs.set('PAGE_FAULT_ERROR_CODE_MATCH', 1)
    );
    const f = new NestedFixture().launch(filter);
    assert.deepEqual(
      [f.processor.get('PAGE_FAULT_ERROR_CODE_MASK'), f.processor.get('PAGE_FAULT_ERROR_CODE_MATCH')],
      [5n, 1n],
    );
    const g = new NestedFixture().start().writeExample(filter);
    g.processor.set('EXCEPTION_BITMAP', 1 << 14);
    g.execute('VMLAUNCH');
    assert.deepEqual(
      [g.processor.get('PAGE_FAULT_ERROR_CODE_MASK'), g.processor.get('PAGE_FAULT_ERROR_CODE_MATCH')],
      [0n, 0n],
    );
  });
  it('only what L1 changed is written again', () => {
    const f = new NestedFixture().launch();
    f.exit('CPUID');
    const writes: string[] = [];
    const { processor } = f;
    const write = processor.write.bind(processor);
    f.vmwrite(ENCODING.GUEST_ES_BASE, 0x1234);
    processor.write = (offset, low, high) => {
      if (processor.currentVmcs === f.nestedVcpu.vmcs02.address)
        writes.push(FIELDS.find((each) => each.offset === offset)?.name ?? '?');
      write(offset, low, high);
    };
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.ok(writes.includes('GUEST_ES_BASE'));
    assert.ok(writes.length < 8, `vmcs02 writes: ${writes.join(' ')}`);
  });
  it('another VMCS of L1 leaves nothing of the first in vmcs02', () => {
    const f = new NestedFixture().launch((vmcs) => vmcs.set('GUEST_GS_BASE', 0x1111));
    f.exit('CPUID');
    f.withPointer('VMCLEAR', 0x302000);
    f.withPointer('VMPTRLD', 0x302000);
    f.writeExample((vmcs) => vmcs.set('GUEST_GS_BASE', 0x2222));
    assert.equal(f.execute('VMLAUNCH'), 'L2');
    assert.equal(f.processor.get('GUEST_GS_BASE'), 0x2222n);
    f.exit('CPUID');
    f.withPointer('VMPTRLD', 0x301000);
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.equal(f.processor.get('GUEST_GS_BASE'), 0x1111n);
  });
});
