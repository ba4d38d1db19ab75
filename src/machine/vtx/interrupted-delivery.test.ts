// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PIN } from '../../arch/vmx/controls.ts';
import { VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const inject = (type: number, vector: number): number => (0x80000000 | (type << 8) | vector) >>> 0;

describe('an event whose delivery makes an exit', () => {
  it('a double and a triple fault end HLT, too', () => {
    for (const [exceptions, exit] of [
      [1 << 8, 'EXCEPTION_NMI'],
      [0, 'TRIPLE_FAULT'],
    ] as const) {
      bench
        .reset()
        .set('EXCEPTION_BITMAP', exceptions)
        .set('GUEST_IDTR_LIMIT', 0)
        .set('GUEST_RFLAGS', 0x202)
        .set('GUEST_ACTIVITY_STATE', 1)
        .set('VM_ENTRY_INTR_INFO_FIELD', inject(0, 0x30));
      assert.equal(bench.launch('90'), exit);
      assert.equal(bench.get('GUEST_ACTIVITY_STATE'), 0);
    }
  });
  // See: SDM 28.1 Architectural State Before a VM Exit: an event that causes an exit indirectly updates state.
  it('an NMI blocks NMIs before the exit, ends shadows and HLT; another event does not block', () => {
    for (const [type, vector, blocking] of [
      [2, 2, 8],
      [0, 0x30, 0],
    ]) {
      bench
        .reset()
        .pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)
        .set('EXCEPTION_BITMAP', 1 << 14)
        .set('GUEST_IDTR_BASE', 0x50000000)
        .set('GUEST_RFLAGS', 0x202)
        .set('GUEST_ACTIVITY_STATE', 1)
        .set('VM_ENTRY_INTR_INFO_FIELD', inject(type, vector));
      assert.equal(bench.launch('90'), 'EXCEPTION_NMI');
      assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), inject(type, vector));
      assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), blocking);
      assert.equal(bench.get('GUEST_ACTIVITY_STATE'), 0);
    }
  });
});
