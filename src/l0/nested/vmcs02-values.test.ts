// SPDX-License-Identifier: Apache-2.0
// The table of field origins a second time: of what every field of vmcs02 is made, and when it is made again. vmcs01 and
// vmcs12 hold different values in every field, and vmcs02 is composed without checks. See: paper.md 2.4
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import { FIELDS, fieldNamed } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { FIELD_ORIGINS, originOf } from './field-origins.ts';
import type { NestedFixture } from './nested-fixture.testing.ts';
import {
  CONTROLS,
  POINTERS,
  VARIANTS,
  compose,
  existing,
  high,
  in01,
  low,
  made,
  pattern,
} from './vmcs02-composed.testing.ts';

/** Guest state that is not simply L2's own, and what stands in vmcs12 for L1's use only. */
// prettier-ignore
const SPECIAL_GUEST: readonly FieldName[] = [
  'VMCS_LINK_POINTER', 'GUEST_IA32_DEBUGCTL', 'GUEST_IA32_PAT', 'GUEST_IA32_EFER', 'GUEST_PDPTR0', 'GUEST_PDPTR1',
  'GUEST_PDPTR2', 'GUEST_PDPTR3', 'GUEST_SMBASE', 'VMX_PREEMPTION_TIMER_VALUE', 'GUEST_DR7',
];
/** Control fields that L2 has as L1 wrote them. */
// prettier-ignore
const CONTROL_FROM_12: readonly FieldName[] = [
  'CR3_TARGET_COUNT', 'VM_ENTRY_INTR_INFO_FIELD', 'VM_ENTRY_EXCEPTION_ERROR_CODE', 'VM_ENTRY_INSTRUCTION_LEN', 'TPR_THRESHOLD',
  'PLE_GAP', 'PLE_WINDOW', 'CR0_GUEST_HOST_MASK', 'CR4_GUEST_HOST_MASK', 'CR0_READ_SHADOW', 'CR4_READ_SHADOW',
  'CR3_TARGET_VALUE0', 'CR3_TARGET_VALUE1', 'CR3_TARGET_VALUE2', 'CR3_TARGET_VALUE3',
];
const FROM_01: readonly FieldName[] = ['VM_ENTRY_MSR_LOAD_ADDR', 'VM_ENTRY_MSR_LOAD_COUNT'];
// prettier-ignore
const ZERO: readonly FieldName[] = [
  'VM_EXIT_MSR_STORE_ADDR', 'VM_EXIT_MSR_LOAD_ADDR', 'EXECUTIVE_VMCS_POINTER', 'VM_EXIT_MSR_STORE_COUNT', 'VM_EXIT_MSR_LOAD_COUNT',
  'GUEST_SMBASE',
];
/** What the hardware or L0 changes in vmcs02 while L2 runs, or what depends on more than controls: written at each entry. */
// prettier-ignore
const EACH: readonly FieldName[] = [
  'VIRTUAL_PROCESSOR_ID', 'TSC_OFFSET', 'EPT_POINTER', 'GUEST_IA32_DEBUGCTL', 'GUEST_IA32_PAT', 'GUEST_PDPTR0', 'GUEST_PDPTR1',
  'GUEST_PDPTR2', 'GUEST_PDPTR3', 'VM_ENTRY_CONTROLS', 'VM_ENTRY_INTR_INFO_FIELD', 'VM_ENTRY_EXCEPTION_ERROR_CODE',
  'VM_ENTRY_INSTRUCTION_LEN', 'TPR_THRESHOLD', 'VMX_PREEMPTION_TIMER_VALUE', 'GUEST_DR7',
  'GUEST_INTERRUPTIBILITY_INFO', 'GUEST_PENDING_DBG_EXCEPTIONS',
];

const guestState = existing.filter(({ area, name }) => area === 'guest' && !SPECIAL_GUEST.includes(name));
const copied: readonly FieldName[] = [...guestState.map(({ name }) => name), ...CONTROL_FROM_12];
const hostState = existing.filter(({ area }) => area === 'host').map(({ name }) => name);

describe('what vmcs02 is made of', () => {
  for (const [variant, bits] of Object.entries(VARIANTS))
    it(`of the two, or of nothing, field by field: ${variant}`, () => {
      const f = made(bits);
      const from01 = new Map([...hostState, ...FROM_01].map((name) => [name, in01(f, name)]));
      const from12 = new Map(copied.map((name) => [name, f.get12(name)]));
      const found = compose(f);
      for (const [name, value] of from01) assert.equal(found.get(name), value, name);
      for (const [name, value] of from12) assert.equal(found.get(name), value, name);
      for (const name of ZERO) assert.equal(found.get(name), 0n, name);
    });

  it('and the kind says so', () => {
    for (const { field, kind } of FIELD_ORIGINS) {
      if (!existing.some(({ name }) => name === field)) assert.equal(kind, 'absent', field);
      else if (copied.includes(field) || field === 'VMX_PREEMPTION_TIMER_VALUE') assert.equal(kind, 'from12', field);
      else if (hostState.includes(field) || FROM_01.includes(field)) assert.equal(kind, 'from01', field);
      else if (ZERO.includes(field) || field === 'GUEST_IA32_EFER') assert.equal(kind, 'l0Owns', field);
      else if (fieldNamed(field).area === 'exitInformation') assert.equal(kind, 'information', field);
    }
    // prettier-ignore
    const merged: readonly FieldName[] = [
      ...CONTROLS, 'EXCEPTION_BITMAP', 'PAGE_FAULT_ERROR_CODE_MASK', 'PAGE_FAULT_ERROR_CODE_MATCH', 'XSS_EXIT_BITMAP',
      'GUEST_IA32_DEBUGCTL', 'GUEST_IA32_PAT', 'GUEST_DR7',
    ];
    assert.deepEqual(
      FIELD_ORIGINS.filter(({ kind }) => kind === 'merged')
        .map(({ field }) => field)
        .sort(),
      [...merged].sort(),
    );
    // prettier-ignore
    const composed: readonly FieldName[] = [
      'VIRTUAL_PROCESSOR_ID', 'IO_BITMAP_A', 'IO_BITMAP_B', 'MSR_BITMAP', 'TSC_OFFSET', 'VIRTUAL_APIC_PAGE_ADDR', 'APIC_ACCESS_ADDR',
      'EPT_POINTER', 'VMREAD_BITMAP', 'VMWRITE_BITMAP', 'TSC_MULTIPLIER', 'VMCS_LINK_POINTER',
      'GUEST_PDPTR0', 'GUEST_PDPTR1', 'GUEST_PDPTR2', 'GUEST_PDPTR3',
    ];
    assert.deepEqual(
      FIELD_ORIGINS.filter(({ kind }) => kind === 'composed')
        .map(({ field }) => field)
        .sort(),
      [...composed].sort(),
    );
  });

  const host = (f: NestedFixture, address: bigint | undefined): bigint =>
    BigInt(f.fixture.l0.l1.memory.translate(Number(address)));

  it('addresses and tables: everything', () => {
    const f = made(VARIANTS.everything);
    const ports = f.nestedVcpu;
    const before = { pat: f.get12('GUEST_IA32_PAT'), debug: f.get12('GUEST_IA32_DEBUGCTL'), dr7: f.get12('GUEST_DR7') };
    const found = compose(f);
    const expected: { readonly [Name in FieldName]?: bigint } = {
      IO_BITMAP_A: BigInt(ports.ioBitmapA),
      IO_BITMAP_B: BigInt(ports.ioBitmapB),
      MSR_BITMAP: BigInt(ports.msrBitmap),
      ...Object.fromEntries(
        (
          [
            'VIRTUAL_APIC_PAGE_ADDR',
            'APIC_ACCESS_ADDR',
            'VMREAD_BITMAP',
            'VMWRITE_BITMAP',
            'VMCS_LINK_POINTER',
          ] as const
        ).map((name) => [name, host(f, POINTERS[name])]),
      ),
      ...{ GUEST_IA32_PAT: before.pat, GUEST_IA32_DEBUGCTL: before.debug, GUEST_DR7: before.dr7 },
      ...{ GUEST_PDPTR0: f.get12('GUEST_PDPTR0'), GUEST_PDPTR3: f.get12('GUEST_PDPTR3') },
      ...{ GUEST_PDPTR1: f.get12('GUEST_PDPTR1'), GUEST_PDPTR2: f.get12('GUEST_PDPTR2') },
      PAGE_FAULT_ERROR_CODE_MASK: f.get12('PAGE_FAULT_ERROR_CODE_MASK'),
      PAGE_FAULT_ERROR_CODE_MATCH: f.get12('PAGE_FAULT_ERROR_CODE_MATCH'),
      EXCEPTION_BITMAP: f.get12('EXCEPTION_BITMAP') | 0x20002n,
      XSS_EXIT_BITMAP: f.get12('XSS_EXIT_BITMAP') | in01(f, 'XSS_EXIT_BITMAP'),
      TSC_MULTIPLIER: f.get12('TSC_MULTIPLIER'),
      VMX_PREEMPTION_TIMER_VALUE: f.get12('VMX_PREEMPTION_TIMER_VALUE'),
      VIRTUAL_PROCESSOR_ID: BigInt(ports.vpids.enter(9)),
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(found.get(name as FieldName), value, name);
    const eptp = { low: 0, high: 0 };
    ports.multiDimensional.enter({ low: 0x40001e, high: 0 }, eptp);
    assert.equal(found.get('EPT_POINTER'), BigInt(eptp.low) | (BigInt(eptp.high) << 32n));
  });

  it('addresses and tables: nothing, so that they are not used', () => {
    const f = made(VARIANTS.nothing);
    const before = { pat: in01(f, 'GUEST_IA32_PAT'), debug: in01(f, 'GUEST_IA32_DEBUGCTL'), dr7: in01(f, 'GUEST_DR7') };
    const access01 = in01(f, 'APIC_ACCESS_ADDR');
    const found = compose(f);
    const expected: { readonly [Name in FieldName]?: bigint } = {
      ...{ VIRTUAL_APIC_PAGE_ADDR: 0n, VMREAD_BITMAP: 0n, VMWRITE_BITMAP: 0n, VMCS_LINK_POINTER: 0xffffffffffffffffn },
      ...{ MSR_BITMAP: 0n, APIC_ACCESS_ADDR: access01, IO_BITMAP_A: BigInt(f.nestedVcpu.ioBitmapA) },
      ...{ GUEST_IA32_PAT: before.pat, GUEST_IA32_DEBUGCTL: before.debug, GUEST_DR7: before.dr7 },
      ...{
        VIRTUAL_PROCESSOR_ID: 0x100n,
        EPT_POINTER: BigInt(f.fixture.l0.l1.ept01.pointer.low) | (BigInt(f.fixture.l0.l1.ept01.pointer.high) << 32n),
      },
      ...{ GUEST_PDPTR0: f.get12('GUEST_PDPTR0'), GUEST_PDPTR1: f.get12('GUEST_PDPTR1') },
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(found.get(name as FieldName), value, name);
  });

  it('the tag of a VPID counts only with the control for it, whatever the others are', () => {
    const tag = (secondary: number): [bigint | undefined, NestedFixture] => {
      const f = made({ ...VARIANTS.everything, SECONDARY_VM_EXEC_CONTROL: secondary >>> 0 });
      return [compose(f).get('VIRTUAL_PROCESSOR_ID'), f];
    };
    for (const [secondary, vpid] of [
      [SECONDARY.ENABLE_VPID, 9],
      [~SECONDARY.ENABLE_VPID, 0],
    ] as const) {
      const [found, f] = tag(secondary);
      assert.equal(found, BigInt(f.nestedVcpu.vpids.enter(vpid)));
    }
  });

  it('tables of L1 above 4 GiB are not those below', () => {
    const root = (above: number): bigint | undefined => {
      const f = made(VARIANTS.everything);
      compose(f);
      f.nestedVcpu.vmcs12.change(fieldNamed('EPT_POINTER').offset, 0x40001e, above);
      f.nestedVcpu.vmcs02.forget();
      return compose(f).get('EPT_POINTER');
    };
    assert.notEqual(root(1), root(0));
  });

  it("without EPT, PAE paging: page-directory pointers are those of L1's memory", () => {
    const found = compose(made(VARIANTS['everything but EPT']));
    const pdptes = ([0, 1, 2, 3] as const).map((i) => found.get(`GUEST_PDPTR${i}`));
    assert.deepEqual(
      pdptes,
      [0, 1, 2, 3].map((i) => (BigInt(0x1000 * (2 * i + 1) + 1) << 32n) | BigInt(0x2000 * i + 1)),
    );
  });

  it('a link pointer of all ones, or half of it, is what it is', () => {
    const linked = (value: bigint): bigint | undefined => {
      const f = made(VARIANTS.everything);
      f.nestedVcpu.vmcs12.change(fieldNamed('VMCS_LINK_POINTER').offset, low(value), high(value));
      return compose(f).get('VMCS_LINK_POINTER');
    };
    assert.equal(linked(0xffffffffffffffffn), 0xffffffffffffffffn);
    assert.notEqual(linked(0x7f00000000n), 0xffffffffffffffffn);
    assert.notEqual(linked(0xffffffffn), 0xffffffffffffffffn);
    assert.notEqual(linked(0xffffffff00000000n), 0xffffffffffffffffn);
  });

  it('APIC accesses of L2 under shadow-on-EPT: its own page, or that of L0', () => {
    const f = made({ ...VARIANTS['everything but EPT'] });
    assert.equal(compose(f).get('APIC_ACCESS_ADDR'), host(f, POINTERS.APIC_ACCESS_ADDR));
    const g = made({ ...VARIANTS['everything but EPT'], SECONDARY_VM_EXEC_CONTROL: 0xfffffffc });
    assert.equal(compose(g).get('APIC_ACCESS_ADDR'), in01(g, 'APIC_ACCESS_ADDR'));
    const h = made({ ...VARIANTS.everything, SECONDARY_VM_EXEC_CONTROL: 0xfffffffe });
    assert.equal(compose(h).get('APIC_ACCESS_ADDR'), 0n);
  });
});

describe('what an exit saves', () => {
  it('all guest state as it is, and no more', () => {
    const f = made(VARIANTS.everything);
    compose(f);
    const { vmcs02, vmcs12 } = f.nestedVcpu;
    f.processor.vmptrld(vmcs02.address);
    const before = new Map(existing.map(({ name }) => [name, f.get12(name)]));
    for (const { name } of existing) f.processor.set(name, pattern(name, 3));
    vmcs02.saveGuestState(vmcs12);
    for (const { name } of existing) {
      const saved = guestState.some((field) => field.name === name);
      assert.equal(f.get12(name), saved ? pattern(name, 3) : before.get(name), name);
    }
  });
  it('and says so of each field', () => {
    for (const { name } of FIELDS)
      assert.equal(
        originOf(name).saved,
        guestState.some((field) => field.name === name),
        name,
      );
  });
});

describe('when vmcs02 is made again', () => {
  /** As if nothing of the first composition were known. */
  const fromScratch = (f: NestedFixture): Map<FieldName, bigint> => (f.nestedVcpu.vmcs02.forget(), compose(f));
  const WRITABLE = existing.filter(({ area, name }) => area !== 'exitInformation' && !name.startsWith('HOST_'));
  const bitsOf = (name: FieldName): readonly number[] =>
    (CONTROLS as readonly FieldName[]).includes(name)
      ? Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0)
      : [0x1010];

  for (const [variant, bits] of Object.entries(VARIANTS)) {
    it(`whatever L1 changes is seen at its next entry: ${variant}`, () => {
      const f = made(bits);
      compose(f);
      const { vmcs12 } = f.nestedVcpu;
      for (const { name, offset } of WRITABLE)
        for (const bit of bitsOf(name)) {
          vmcs12.change(offset, (vmcs12.low(offset) ^ bit) >>> 0, vmcs12.high(offset));
          const again = compose(f);
          assert.deepEqual(again, fromScratch(f), `${name} ${bit}`);
          vmcs12.change(offset, (vmcs12.low(offset) ^ bit) >>> 0, vmcs12.high(offset));
          compose(f);
        }
    });
    it(`and whatever L0 changes in vmcs01 that is not fixed for good: ${variant}`, () => {
      const f = made(bits);
      compose(f);
      for (const { name } of WRITABLE.filter((field) => !FROM_01.includes(field.name)))
        for (const bit of bitsOf(name)) {
          f.processor.set(name, f.processor.get(name) ^ BigInt(bit));
          const again = compose(f);
          assert.deepEqual(again, fromScratch(f), `${name} ${bit}`);
        }
    });
  }

  it('what changes while L2 runs is made again at each entry, the rest is left alone', () => {
    const f = made(VARIANTS.everything);
    const right = compose(f);
    for (const { name, area } of existing) {
      if (area === 'exitInformation') continue;
      f.processor.vmptrld(f.nestedVcpu.vmcs02.address);
      f.processor.set(name, (right.get(name) ?? 0n) ^ 1n);
      f.processor.vmptrld(f.vcpu.vmcs01);
      const kept = compose(f).get(name) !== right.get(name);
      assert.equal(kept, !EACH.includes(name), name);
      fromScratch(f);
    }
  });
});
