// SPDX-License-Identifier: Apache-2.0
// Traps that the run loop found after an instruction of a guest: delivered or intercepted in their turn, or saved.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { STATE } from '../cpu/state.ts';
import { VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const HARDWARE_EXCEPTION_1 = 0x80000301;

describe('debug traps that the run loop found', () => {
  const inGuest = (): void => {
    bench
      .reset()
      .set('EXCEPTION_BITMAP', 1 << 1)
      .set('GUEST_ACTIVITY_STATE', 3);
    bench.launch('90');
    bench.cpu.set32(STATE.activity, 0);
  };
  it('breakpoints and single step in one exit, before other events', () => {
    inGuest();
    bench.pendingNmi = true;
    bench.unit.pendDebugException(0x4003);
    assert.equal(bench.unit.beforeInstruction(bench), true);
    assert.equal(bench.reason, 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), HARDWARE_EXCEPTION_1);
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x4003);
    assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), 0);
  });
  it('one that an exit for INIT comes before is saved, with the bit that says a breakpoint was enabled', () => {
    inGuest();
    bench.pendingInit = true;
    bench.unit.pendDebugException(2);
    assert.equal(bench.unit.beforeInstruction(bench), true);
    assert.equal(bench.reason, 'INIT_SIGNAL');
    assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), 0x1002);
  });
  it('one that waits for the end of a MOV SS shadow is saved as well, and gone afterwards', () => {
    inGuest();
    bench.cpu.set32(STATE.interruptibility, 2);
    bench.cpu.breakpoints.hits = 1;
    bench.cpu.breakpoints.hold();
    bench.pendingInit = true;
    assert.equal(bench.unit.beforeInstruction(bench), true);
    assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), 0x1001);
    assert.equal(bench.cpu.breakpoints.take(), 0);
  });
});
