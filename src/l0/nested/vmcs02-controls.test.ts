// SPDX-License-Identifier: Apache-2.0
// The controls of vmcs02 for each bit of both hypervisors' controls. See: paper.md 2.4
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fieldNamed } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { NestedFixture } from './nested-fixture.testing.ts';
import { compose, in01, made } from './vmcs02-composed.testing.ts';
import type { Bits, CONTROLS } from './vmcs02-composed.testing.ts';

describe('controls of vmcs02, bit by bit', () => {
  const P = {
    TPR: 1 << 21,
    SECONDARY: 2 ** 31,
    IO_ALL: 1 << 24,
    IO_BITMAPS: 1 << 25,
    MSR_BITMAPS: 1 << 28,
    TSC: 1 << 3,
  };
  const CR8 = (1 << 19) | (1 << 20);
  /** Of the primary controls, those that only L1 decides: windows, HLT, INVLPG, CR3, TPR shadow, MTF. */
  const PRIMARY_12 = 4 | (1 << 22) | (1 << 7) | (1 << 9) | (3 << 15) | P.TPR | (1 << 27);
  const EITHER_SECONDARY = (1 << 6) | (1 << 11) | (1 << 16);
  const SECONDARY_12 = 1 | 4 | 8 | (1 << 7) | (1 << 10) | (1 << 12) | (1 << 14) | (1 << 20) | (1 << 25);

  const fixture = new NestedFixture().start().writeExample();
  /** vmcs02's field when a control field has these bits in vmcs01 and in vmcs12; secondary ones are activated in both. */
  function merged(name: (typeof CONTROLS)[number], of01: number, of12: number, more: Bits = {}): number {
    const f = made({ CPU_BASED_VM_EXEC_CONTROL: P.SECONDARY, ...more, [name]: of12 >>> 0 }, fixture);
    if (name !== 'CPU_BASED_VM_EXEC_CONTROL') f.processor.set('CPU_BASED_VM_EXEC_CONTROL', P.SECONDARY);
    f.processor.set(name, of01 >>> 0);
    return Number(compose(f).get(name));
  }
  const each = (check: (bit: number, mask: number) => void): void => {
    for (let bit = 0; bit < 32; bit++) check(bit, (1 << bit) >>> 0);
  };

  it("pin: external interrupts exit always, NMIs as L1 wants or for L0, the timer is L1's", () => {
    each((bit, mask) => {
      const forced = 1 | (mask === 8 ? 8 : 0x28);
      const expected01 = [3, 5, 6].includes(bit) ? 1 | 0x28 : (mask | 1 | 0x28) >>> 0;
      assert.equal(merged('PIN_BASED_VM_EXEC_CONTROL', mask, 0), expected01, `01 ${bit}`);
      const expected12 = bit === 6 ? 0x40 | 1 | 0x28 : forced;
      assert.equal(merged('PIN_BASED_VM_EXEC_CONTROL', 0, mask), expected12, `12 ${bit}`);
    });
    assert.equal(merged('PIN_BASED_VM_EXEC_CONTROL', 0x28, 8), 9);
    assert.equal(merged('PIN_BASED_VM_EXEC_CONTROL', 0, 0x28), 0x29);
  });

  it('primary', () => {
    const always = (P.TSC | P.SECONDARY) >>> 0;
    each((bit, mask) => {
      const decided = P.IO_ALL | P.IO_BITMAPS | P.MSR_BITMAPS | P.TSC | CR8;
      const io = (mask & (P.IO_ALL | P.IO_BITMAPS)) >>> 0;
      const of01 = mask & (PRIMARY_12 | decided) ? 0 : mask;
      assert.equal(merged('CPU_BASED_VM_EXEC_CONTROL', mask, 0), (always | CR8 | io | of01) >>> 0, `01 ${bit}`);
      const tpr = mask === P.TPR ? 0 : CR8;
      const of12 = mask & (P.MSR_BITMAPS | P.TSC | CR8) ? 0 : mask;
      assert.equal(merged('CPU_BASED_VM_EXEC_CONTROL', 0, mask), (always | tpr | io | of12) >>> 0, `12 ${bit}`);
    });
    const both = (of01: number, of12: number): number =>
      merged('CPU_BASED_VM_EXEC_CONTROL', of01, of12) & ~always & ~CR8;
    assert.equal(both(P.MSR_BITMAPS, P.MSR_BITMAPS), P.MSR_BITMAPS);
    assert.equal(both(P.IO_BITMAPS, P.IO_ALL), P.IO_ALL);
    assert.equal(both(P.IO_ALL, P.IO_BITMAPS), P.IO_ALL);
    assert.equal(both(P.IO_BITMAPS, P.IO_BITMAPS | P.IO_ALL), P.IO_BITMAPS);
    const withShadow = (bits: number): number => merged('CPU_BASED_VM_EXEC_CONTROL', CR8, P.TPR | bits) & CR8;
    assert.deepEqual([0, 1 << 19, 1 << 20].map(withShadow), [0, 1 << 19, 1 << 20], 'CR8 exits only as L1 wants');
  });

  it('secondary, with EPT12 and without', () => {
    const always = 2 | (1 << 5);
    each((bit, mask) => {
      const apic01 = mask & 1;
      const of01 = mask & EITHER_SECONDARY;
      assert.equal(merged('SECONDARY_VM_EXEC_CONTROL', mask, 0), (always | of01 | apic01) >>> 0, `01 ${bit}`);
      assert.equal(merged('SECONDARY_VM_EXEC_CONTROL', mask, 2), (always | of01) >>> 0, `01 with EPT12 ${bit}`);
      const of12 = mask & (EITHER_SECONDARY | SECONDARY_12);
      assert.equal(merged('SECONDARY_VM_EXEC_CONTROL', 0, mask), (always | of12) >>> 0, `12 ${bit}`);
    });
    assert.equal(
      merged('SECONDARY_VM_EXEC_CONTROL', 0, 0xffffffff, { CPU_BASED_VM_EXEC_CONTROL: 0 }),
      always,
      'not activated',
    );
  });

  it('exit and entry', () => {
    const [DEBUG, SAVE_TIMER, IA32E] = [4, 1 << 22, 1 << 9];
    each((bit, mask) => {
      assert.equal(merged('VM_EXIT_CONTROLS', mask, 0), (mask | DEBUG) >>> 0, `exit 01 ${bit}`);
      assert.equal(merged('VM_EXIT_CONTROLS', 0, mask), DEBUG, `exit 12 ${bit}`);
      assert.equal(merged('VM_ENTRY_CONTROLS', mask, 0), ((mask & ~IA32E) | DEBUG) >>> 0, `entry 01 ${bit}`);
      assert.equal(merged('VM_ENTRY_CONTROLS', 0, mask), (mask & IA32E) | DEBUG, `entry 12 ${bit}`);
    });
    assert.equal(merged('VM_EXIT_CONTROLS', 0, 0, { PIN_BASED_VM_EXEC_CONTROL: 0x40 }), DEBUG | SAVE_TIMER);
  });

  it('exceptions: each bit of either; page faults of L0 bring all of them', () => {
    each((bit, mask) => {
      for (const whose of ['01', '12'] as const) {
        const f = made({}, fixture);
        const set = (name: FieldName, value: number): void =>
          f.nestedVcpu.vmcs12.change(fieldNamed(name).offset, value, 0);
        f.processor.set('EXCEPTION_BITMAP', whose === '01' ? mask : 0);
        set('EXCEPTION_BITMAP', whose === '12' ? mask : 0);
        set('PAGE_FAULT_ERROR_CODE_MASK', 5);
        set('PAGE_FAULT_ERROR_CODE_MATCH', 4);
        const found = compose(f);
        assert.equal(found.get('EXCEPTION_BITMAP'), BigInt(mask));
        const filter = bit === 14 && whose === '01' ? [0n, 0n] : [5n, 4n];
        assert.deepEqual([found.get('PAGE_FAULT_ERROR_CODE_MASK'), found.get('PAGE_FAULT_ERROR_CODE_MATCH')], filter);
      }
    });
  });

  it('debug controls and PAT: each by its own entry control', () => {
    each((_, mask) => {
      const f = made({ VM_ENTRY_CONTROLS: mask }, fixture);
      const fields = ['GUEST_DR7', 'GUEST_IA32_DEBUGCTL', 'GUEST_IA32_PAT'] as const;
      const expected = fields.map((name) =>
        mask === (name === 'GUEST_IA32_PAT' ? 1 << 14 : 4) ? f.get12(name) : in01(f, name),
      );
      const found = compose(f);
      assert.deepEqual(
        fields.map((name) => found.get(name)),
        expected,
      );
    });
  });

  const [STI, MOV_SS, BLOCKED_NMI, BS, TF, BTF] = [1, 2, 8, 1 << 14, 1 << 8, 2];
  const change = (f: NestedFixture, name: FieldName, value: number): void =>
    f.nestedVcpu.vmcs12.change(fieldNamed(name).offset, value >>> 0, 0);

  it("blocking by NMI: not for an NMI that L1 injects while NMIs are L2's", () => {
    for (const pin of [0, 8, 0x28])
      for (const event of [0, 0x80000202, 0x202, 0x80000030, 0x80000306, 0x80000603])
        for (const blocking of [0, BLOCKED_NMI, BLOCKED_NMI | 0x10, 0xf]) {
          const f = made({ PIN_BASED_VM_EXEC_CONTROL: pin }, fixture);
          change(f, 'VM_ENTRY_INTR_INFO_FIELD', event);
          change(f, 'GUEST_INTERRUPTIBILITY_INFO', blocking);
          const opened = event === 0x80000202 && pin === 0;
          const expected = BigInt(opened ? blocking & ~BLOCKED_NMI : blocking);
          assert.equal(compose(f).get('GUEST_INTERRUPTIBILITY_INFO'), expected, `${pin} ${event} ${blocking}`);
        }
  });

  it('the pending single step, held by blocking or HLT, goes by the debug controls that L2 will have', () => {
    for (const loads of [0, 4])
      for (const blocking of [0, STI, MOV_SS, BLOCKED_NMI])
        for (const activity of [0, 1, 2])
          for (const flags of [2, 2 | TF, 0x202])
            for (const debugctl of [0, BTF, 1])
              for (const pending of [0, BS, 0x100f, BS | 0x1000]) {
                const f = made({ VM_ENTRY_CONTROLS: loads }, fixture);
                change(f, 'GUEST_INTERRUPTIBILITY_INFO', blocking);
                change(f, 'GUEST_ACTIVITY_STATE', activity);
                change(f, 'GUEST_RFLAGS', flags);
                f.processor.set('GUEST_IA32_DEBUGCTL', debugctl);
                change(f, 'GUEST_PENDING_DBG_EXCEPTIONS', pending);
                const held = blocking === STI || blocking === MOV_SS || activity === 1;
                const due = (flags & TF) !== 0 && debugctl !== BTF ? BS : 0;
                const expected = loads === 0 && held ? (pending & ~BS) | due : pending;
                assert.equal(compose(f).get('GUEST_PENDING_DBG_EXCEPTIONS'), BigInt(expected));
              }
  });
});
