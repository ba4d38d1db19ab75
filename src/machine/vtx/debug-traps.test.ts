// SPDX-License-Identifier: Apache-2.0
// Traps that the run loop found after an instruction of a guest: delivered or intercepted in their turn, or saved.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENTRY, EXIT, PRIMARY } from '../../arch/vmx/controls.ts';
import { STATE } from '../cpu/state.ts';
import { VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const HARDWARE_EXCEPTION_1 = 0x80000301;

describe('an access to debug registers while DR7.GD is set', () => {
  const launch = (exceptions: number): void => {
    bench.reset().set('EXCEPTION_BITMAP', exceptions).set('GUEST_DR7', 0x2400);
    bench.or('VM_ENTRY_CONTROLS', ENTRY.LOAD_DEBUG_CONTROLS).or('VM_EXIT_CONTROLS', EXIT.SAVE_DEBUG_CONTROLS);
    bench.primary(PRIMARY.HLT_EXITING).launch('0f 21 c0');
  };
  it('an exit tells it in its qualification, and leaves DR6 and DR7 alone', () => {
    const before = bench.reset().cpu.get64(STATE.dr6);
    launch(1 << 1);
    assert.equal(bench.reason, 'EXCEPTION_NMI');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x2000);
    assert.equal(bench.get('GUEST_DR7'), 0x2400);
    assert.equal(bench.cpu.get64(STATE.dr6), before);
  });
  it('a delivery tells it in DR6, and clears DR7.GD', () => {
    launch(0);
    assert.equal(bench.reason, 'HLT');
    assert.equal(bench.cpu.get32(STATE.dr6) & 0x2000, 0x2000);
    assert.equal(bench.get('GUEST_DR7'), 0x400);
  });
});

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
  it('breakpoints that are not enabled are pending until an exception could be delivered, and then no more', () => {
    for (const [init, expected] of [
      [true, 3],
      [false, 0],
    ] as const) {
      inGuest();
      bench.pendingInit = init;
      bench.unit.state.pendingDebugExceptions = 3;
      while (bench.unit.beforeInstruction(bench) && bench.unit.nonRoot);
      bench.pendingInit = true;
      if (!init) bench.unit.beforeInstruction(bench);
      assert.equal(bench.reason, 'INIT_SIGNAL');
      assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), expected);
    }
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
