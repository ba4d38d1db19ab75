// SPDX-License-Identifier: Apache-2.0
// What vmcs02 is not made of anew is what it would have been made of.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENCODING, FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { Composition } from './composition.ts';
import { CONTROLS_01, CONTROLS_12, FIELD_ORIGINS } from './field-origins.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

/** A VMCS that notes which fields are read; the contents below are chosen so that every read comes about. */
class Recording implements VmcsView {
  readonly read = new Set<FieldName>();
  readonly #value: (name: FieldName) => number;
  constructor(value: (name: FieldName) => number) {
    this.#value = value;
  }
  low(offset: number): number {
    const name = FIELDS.find((field) => field.offset === offset)!.name;
    this.read.add(name);
    return this.#value(name);
  }
  high(offset: number): number {
    return this.low(offset);
  }
}

describe('rows of field origins that depend on controls', () => {
  it('read the fields that are named for them, and each of these is read', () => {
    const { nestedVcpu } = new NestedFixture();
    const seen = [new Set<FieldName>(), new Set<FieldName>()];
    const contents: ((name: FieldName) => number)[] = [
      () => 0,
      (name) => (/VM_EXEC_CONTROL|CONTROLS$/.test(name) ? 0xffffffff : 0x5000),
      (name) => (name === 'SECONDARY_VM_EXEC_CONTROL' ? 0xffffffff & ~2 : /CONTROL/.test(name) ? 0xffffffff : 0x5000),
    ];
    for (const content01 of contents)
      for (const content12 of contents) {
        const views = [new Recording(content01), new Recording(content12)];
        const composition = new Composition(nestedVcpu, views[0], views[1]);
        for (const { written, compose } of FIELD_ORIGINS)
          if (written === 'controls') compose!(composition, { low: 0, high: 0 });
        views.forEach(({ read }, i) => read.forEach((name) => seen[i].add(name)));
      }
    assert.deepEqual([...seen[0]].sort(), [...CONTROLS_01].sort());
    assert.deepEqual([...seen[1]].sort(), [...CONTROLS_12].sort());
  });
});

type Change = (f: NestedFixture) => void;
const write =
  (name: FieldName, value: number): Change =>
  (f) =>
    void f.vmwrite(ENCODING[name], value);
const or =
  (name: FieldName, bits: number): Change =>
  (f) =>
    void f.vmwrite(ENCODING[name], (f.nestedVcpu.vmcs12.low(OFFSET[name]) | bits) >>> 0);
const in01 =
  (name: FieldName, bits: bigint): Change =>
  (f) =>
    f.processor.set(name, f.processor.get(name) | bits);

// prettier-ignore
const CHANGES: readonly (readonly [string, ...Change[]])[] = [
  ['nothing'],
  ['exceptions',            write('EXCEPTION_BITMAP', 0x4040), write('PAGE_FAULT_ERROR_CODE_MASK', 3), write('PAGE_FAULT_ERROR_CODE_MATCH', 1)],
  ['a page-fault filter',   write('PAGE_FAULT_ERROR_CODE_MATCH', 2)],
  ["L0's exceptions",       in01('EXCEPTION_BITMAP', 0x4002n)],
  ['NMIs',                  or('PIN_BASED_VM_EXEC_CONTROL', 0x28)],
  ['HLT and MOV DR',        or('CPU_BASED_VM_EXEC_CONTROL', 0x800080)],
  ['windows',               or('CPU_BASED_VM_EXEC_CONTROL', 4)],
  ['I/O bitmaps',           or('CPU_BASED_VM_EXEC_CONTROL', 1 << 25)],
  ['a TPR shadow',          write('VIRTUAL_APIC_PAGE_ADDR', 0x500000), or('CPU_BASED_VM_EXEC_CONTROL', 1 << 21)],
  ['another virtual APIC',  write('VIRTUAL_APIC_PAGE_ADDR', 0x501000)],
  ['secondary controls',    or('SECONDARY_VM_EXEC_CONTROL', 8), or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000)],
  ['APIC accesses',         write('APIC_ACCESS_ADDR', 0x502000), or('SECONDARY_VM_EXEC_CONTROL', 1)],
  ['another page of them',  write('APIC_ACCESS_ADDR', 0x503000)],
  ["L0's page of them",     in01('APIC_ACCESS_ADDR', 0x4000n)],
  ['XSAVES',                or('SECONDARY_VM_EXEC_CONTROL', 1 << 20), write('XSS_EXIT_BITMAP', 0x100)],
  ["L0's XSS",              in01('XSS_EXIT_BITMAP', 0x200n)],
  ['TSC scaling',           or('CPU_BASED_VM_EXEC_CONTROL', 8), write('TSC_MULTIPLIER', 0x12345), or('SECONDARY_VM_EXEC_CONTROL', 1 << 25)],
  ['another multiplier',    write('TSC_MULTIPLIER', 0x54321)],
  ['guest state',           write('GUEST_GS_BASE', 0x1234)],
  ['what L0 loads',         in01('VM_ENTRY_CONTROLS', 0n), write('VM_ENTRY_INTR_INFO_FIELD', 0)],
];

function fields(f: NestedFixture): string[] {
  const { capabilities } = f.processor;
  return FIELDS.filter((field) => fieldExists(capabilities, field)).map(
    ({ name }) => `${name} ${f.processor.get(name).toString(16)}`,
  );
}

describe('vmcs02 after a change', () => {
  it('is as if it were made from nothing', () => {
    const [f, g] = [new NestedFixture().launch(), new NestedFixture().launch()];
    for (const [what, ...changes] of CHANGES) {
      for (const each of [f, g]) {
        each.exit('CPUID');
        for (const change of changes) change(each);
      }
      g.nestedVcpu.vmcs02.forget();
      assert.deepEqual([f.execute('VMRESUME'), g.execute('VMRESUME')], ['L2', 'L2'], what);
      assert.deepEqual(fields(f), fields(g), what);
    }
  });
});
