// SPDX-License-Identifier: Apache-2.0
// Events that come between instructions: from outside, and the monitor trap flag's.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EXIT, PIN, PRIMARY } from '../../arch/vmx/controls.ts';
import { raiseException } from '../cpu/microcode/interrupt-delivery.ts';
import { STATE } from '../cpu/state.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const VALID = 0x80000000;
const inject = (type: number, vector: number, more = 0): number => (VALID | more | (type << 8) | vector) >>> 0;

describe('events from outside', () => {
  it('an external interrupt exits, whatever IF says; without acknowledging it stays', () => {
    bench.reset().pin(PIN.EXTERNAL_INTERRUPT_EXITING);
    bench.waiting.push(0x31);
    assert.equal(bench.launch('eb fe'), 'EXTERNAL_INTERRUPT');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0);
    assert.deepEqual(bench.waiting, [0x31]);
    bench.reset().pin(PIN.EXTERNAL_INTERRUPT_EXITING).or('VM_EXIT_CONTROLS', EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT);
    bench.waiting.push(0x31);
    assert.equal(bench.launch('eb fe'), 'EXTERNAL_INTERRUPT');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(0, 0x31));
    assert.deepEqual(bench.waiting, []);
  });
  it('without the control it is the guest’s, when IF allows', () => {
    bench.reset().primary(PRIMARY.HLT_EXITING).set('GUEST_RFLAGS', 0x202);
    bench.waiting.push(0x21);
    assert.equal(bench.launch('90 90 0f a2'), 'HLT');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 0x21 + 1);
    bench.reset();
    bench.waiting.push(0x21);
    assert.equal(bench.launch('90 90 0f a2'), 'CPUID');
  });
  it('HLT that does not exit waits; the exit saves the activity state', () => {
    bench.reset().pin(PIN.EXTERNAL_INTERRUPT_EXITING);
    bench.poke(AT.guestCode, [0xf4]);
    bench.set('GUEST_ACTIVITY_STATE', 1);
    bench.waiting.push(0x31);
    assert.equal(bench.launch('90'), 'EXTERNAL_INTERRUPT');
    assert.equal(bench.get('GUEST_ACTIVITY_STATE'), 1);
  });
  it('the interrupt window opens with IF, after the shadow of STI', () => {
    bench.reset().primary(PRIMARY.INTERRUPT_WINDOW_EXITING);
    assert.equal(bench.launch('90 fb 90 90'), 'INTERRUPT_WINDOW');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 3);
    bench.reset().primary(PRIMARY.INTERRUPT_WINDOW_EXITING).set('GUEST_RFLAGS', 0x202);
    assert.equal(bench.launch('90'), 'INTERRUPT_WINDOW');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
  it('an NMI exits and blocks NMIs in the host; without NMI exiting the guest takes it', () => {
    bench.reset().pin(PIN.NMI_EXITING);
    bench.pendingNmi = true;
    assert.equal(bench.launch('eb fe'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(2, 2));
    assert.equal(bench.cpu.get32(STATE.interruptibility), 8);
    bench.reset().primary(PRIMARY.HLT_EXITING);
    bench.pendingNmi = true;
    assert.equal(bench.launch('eb fe'), 'HLT');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 2 + 1);
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 8);
  });
  it('the NMI window opens when virtual NMIs are not blocked', () => {
    bench
      .reset()
      .pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)
      .primary(PRIMARY.NMI_WINDOW_EXITING);
    assert.equal(bench.launch('90'), 'NMI_WINDOW');
    bench
      .reset()
      .pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)
      .primary(PRIMARY.NMI_WINDOW_EXITING)
      .set('GUEST_INTERRUPTIBILITY_INFO', 8);
    // An IRET to the next instruction: SS, RSP, RFLAGS, CS, RIP.
    assert.equal(bench.launch('6a 10 68 00 40 05 00 6a 02 6a 08 68 13 00 04 00 48 cf 90 90 90'), 'NMI_WINDOW');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 0x13);
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 0);
  });
  it('IRET unblocks NMIs as the controls let it, and a fault in it says so', () => {
    const inGuest = (bits: number): VmxBench => {
      bench
        .reset()
        .pin(bits)
        .set('GUEST_INTERRUPTIBILITY_INFO', 8)
        .set('GUEST_ACTIVITY_STATE', 3)
        .set('EXCEPTION_BITMAP', 1 << 13);
      bench.launch('cf');
      bench.cpu.set32(STATE.activity, 0);
      bench.unit.unblockNmi();
      return bench;
    };
    assert.equal(inGuest(PIN.NMI_EXITING).cpu.get32(STATE.interruptibility), 8);
    assert.equal(inGuest(0).cpu.get32(STATE.interruptibility), 0);
    inGuest(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS).cpu.fault(13, 0);
    bench.unit.settle(raiseException(bench.cpu));
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 13, 0x1800));
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 0);
  });
  it('INIT exits; a start-up IPI only in wait-for-SIPI', () => {
    bench.reset();
    bench.pendingInit = true;
    assert.equal(bench.launch('eb fe'), 'INIT_SIGNAL');
    bench.reset().set('GUEST_ACTIVITY_STATE', 3);
    bench.launch('90');
    assert.equal(bench.unit.nonRoot, true);
    bench.pendingStartup = 0x9a;
    assert.equal(bench.unit.beforeInstruction(bench), true);
    assert.equal(bench.reason, 'SIPI_SIGNAL');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x9a);
  });
  it('wait-for-SIPI holds back INIT', () => {
    bench.reset().set('GUEST_ACTIVITY_STATE', 3);
    bench.pendingInit = true;
    bench.launch('90');
    assert.equal(bench.unit.nonRoot, true);
    assert.equal(bench.unit.wakes(bench), false);
    assert.equal(bench.pendingInit, true);
  });
  it('shutdown and wait-for-SIPI hold back MTF exits', () => {
    for (const state of [2, 3]) {
      bench.reset().primary(PRIMARY.MONITOR_TRAP_FLAG).set('GUEST_ACTIVITY_STATE', state);
      bench.launch('90');
      for (let looks = 0; looks < 3; looks++) bench.unit.beforeInstruction(bench);
      assert.equal(bench.unit.nonRoot, true);
    }
  });
  it('an entry to shutdown or wait-for-SIPI leaves no debug exception pending', () => {
    for (const [state, signal, reason] of [
      [2, 'pendingInit', 'INIT_SIGNAL'],
      [3, 'pendingStartup', 'SIPI_SIGNAL'],
    ] as const) {
      bench.reset().set('GUEST_ACTIVITY_STATE', state).set('GUEST_RFLAGS', 0x102);
      bench.set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000).launch('90');
      bench[signal] = (signal === 'pendingInit' ? true : 0x9a) as never;
      assert.equal(bench.unit.beforeInstruction(bench), true);
      assert.equal(bench.reason, reason);
      assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), 0);
    }
  });
  it('root operation blocks INIT', () => {
    assert.equal(bench.reset().unit.blocksInit, true);
    bench.host('0f 01 c4');
    assert.equal(bench.unit.blocksInit, false);
  });
});

describe('the monitor trap flag', () => {
  it('exits after one instruction, and again', () => {
    bench.reset().primary(PRIMARY.MONITOR_TRAP_FLAG);
    assert.equal(bench.launch('90 48 ff c0 90'), 'MONITOR_TRAP_FLAG');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    bench.resume();
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 4);
  });
  it('exits before the first instruction of the handler of an injected event', () => {
    bench.reset().primary(PRIMARY.MONITOR_TRAP_FLAG).set('VM_ENTRY_INTR_INFO_FIELD', inject(3, 6));
    assert.equal(bench.launch('90'), 'MONITOR_TRAP_FLAG');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 6);
  });
  it('exits after the delivery of a fault', () => {
    bench.reset().primary(PRIMARY.MONITOR_TRAP_FLAG);
    assert.equal(bench.launch('0f 0b'), 'MONITOR_TRAP_FLAG');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 6);
  });
  it('exits after the delivery of an interrupt that comes first', () => {
    bench.reset().primary(PRIMARY.MONITOR_TRAP_FLAG).set('GUEST_RFLAGS', 0x202);
    bench.waiting.push(0x20);
    assert.equal(bench.launch('90'), 'MONITOR_TRAP_FLAG');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 0x20);
  });
});
