// SPDX-License-Identifier: Apache-2.0
// Events: intercepted, injected, interrupted in their delivery; the preemption timer, task switches.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EXIT, PIN, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { SINGLE_STEP, debugTrap } from '../cpu/microcode/interrupt-delivery.ts';
import { CS, STATE } from '../cpu/state.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const VALID = 0x80000000;
const inject = (type: number, vector: number, more = 0): number => (VALID | more | (type << 8) | vector) >>> 0;
const RFLAGS_RF = 0x10000;

describe('the exception bitmap', () => {
  it('#UD: type, vector, RIP at the instruction, RF saved as it would be pushed', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 6);
    assert.equal(bench.launch('90 0f 0b'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 6));
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    assert.equal(bench.get('GUEST_RFLAGS'), RFLAGS_RF | 2);
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), 0);
  });
  it('#GP has an error code', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 13);
    assert.equal(bench.launch('66 b8 ff 0f 8e d8'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 13, 0x800));
    assert.equal(bench.get('VM_EXIT_INTR_ERROR_CODE'), 0xffc);
  });
  it('INT3: software exception, with the length, RIP at it', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 3);
    assert.equal(bench.launch('90 cc'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(6, 3));
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 1);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    assert.equal(bench.get('GUEST_RFLAGS'), 2);
  });
  it('INT n is never intercepted', () => {
    bench.reset().set('EXCEPTION_BITMAP', 0xffffffff).primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('cd 0d'), 'HLT');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 13 + 1);
  });
  it('a page fault: qualification, mask and match; CR2 does not change', () => {
    const code = 'a1 00 00 00 40 00 40 00 00 0f a2';
    bench.reset().set('EXCEPTION_BITMAP', 1 << 14);
    bench.cpu.set64(STATE.cr2, 0x1234n);
    assert.equal(bench.launch(code), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 14, 0x800));
    assert.equal(bench.get64('EXIT_QUALIFICATION'), 0x400040000000n);
    assert.equal(bench.get('VM_EXIT_INTR_ERROR_CODE'), 0);
    assert.equal(bench.cpu.get64(STATE.cr2), 0x1234n);
    bench
      .reset()
      .set('EXCEPTION_BITMAP', 1 << 14)
      .set('PAGE_FAULT_ERROR_CODE_MASK', 1)
      .set('PAGE_FAULT_ERROR_CODE_MATCH', 1)
      .primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch(code), 'HLT', 'does not match: delivered');
    bench.reset().set('PAGE_FAULT_ERROR_CODE_MASK', 1).set('PAGE_FAULT_ERROR_CODE_MATCH', 1);
    assert.equal(bench.launch(code), 'EXCEPTION_NMI', 'does not match, bit 0: exits');
  });
  it('single step: a trap, RIP behind the instruction, BS in the qualification, DR6 as it was', () => {
    bench
      .reset()
      .set('EXCEPTION_BITMAP', 1 << 1)
      .set('GUEST_RFLAGS', 0x102)
      .set('GUEST_ACTIVITY_STATE', 3);
    bench.launch('90');
    bench.cpu.set64(STATE.dr6, 0xffff0ff0n);
    bench.cpu.set32(STATE.activity, 0);
    bench.cpu.rip = AT.guestCode + 1;
    bench.unit.settle(debugTrap(bench.cpu, SINGLE_STEP));
    assert.equal(bench.reason, 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 1));
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x4000);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    assert.equal(bench.cpu.get64(STATE.dr6), 0xffff0ff0n);
  });
});

describe('events in the delivery of events', () => {
  const noHandler = (vector: number): void => bench.poke64(AT.guestIdt + 16 * vector, 0, 0);

  it('a fault in the delivery of INT n: IDT-vectoring information, RIP at the INT, its length', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 13);
    noHandler(0x20);
    assert.equal(bench.launch('90 cd 20'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 13, 0x800));
    assert.equal(bench.get('VM_EXIT_INTR_ERROR_CODE'), 0x20 * 8 + 2);
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), inject(4, 0x20));
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 2);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
  });
  it('a contributory pair: the second is intercepted before it becomes a double fault', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 11);
    bench.poke64(AT.guestIdt + 16 * 13, 0x80000, 0x0e00);
    assert.equal(bench.launch('66 b8 ff 0f 8e d8'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 11, 0x800));
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), inject(3, 13, 0x800));
    assert.equal(bench.get('IDT_VECTORING_ERROR_CODE'), 0xffc);
  });
  it('a double fault has no IDT-vectoring information', () => {
    bench.reset().set('EXCEPTION_BITMAP', 1 << 8);
    noHandler(13);
    assert.equal(bench.launch('66 b8 ff 0f 8e d8'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), inject(3, 8, 0x800));
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), 0);
  });
  it('a triple fault exits, in root operation it is shutdown', () => {
    bench.reset().set('GUEST_IDTR_LIMIT', 0);
    assert.equal(bench.launch('0f 0b'), 'TRIPLE_FAULT');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
    bench.reset();
    bench.cpu.set32(STATE.idtrLimit, 0);
    bench.host('0f 0b');
    assert.equal(bench.cpu.get32(STATE.activity), 2);
  });
  it('an external interrupt whose delivery meets an EPT violation is reported', () => {
    bench.reset().secondary(SECONDARY.ENABLE_EPT).set('GUEST_RFLAGS', 0x202);
    mapEpt(bench, AT.guestIdt);
    bench.waiting.push(0x30);
    assert.equal(bench.launch('eb fe'), 'EPT_VIOLATION');
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), inject(0, 0x30));
    assert.equal(bench.get('GUEST_PHYSICAL_ADDRESS'), AT.guestIdt + 16 * 0x30);
    assert.equal(bench.get('GUEST_LINEAR_ADDRESS'), AT.guestIdt + 16 * 0x30);
    assert.equal(bench.get('EXIT_QUALIFICATION'), 1 | (1 << 7) | (1 << 8));
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
});

/** The first 2 MiB one to one in 4-KByte pages, but for one page that is absent; the rest by 2-MByte pages. */
function mapEpt(b: VmxBench, absent: number): void {
  b.poke64(AT.ept, (AT.ept + 0x1000) | 7);
  b.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
  b.poke64(AT.ept + 0x2000, (AT.ept + 0x3000) | 7);
  for (let i = 1; i < 512; i++) b.poke64(AT.ept + 0x2000 + 8 * i, ((i << 21) | 0xb7) >>> 0);
  for (let i = 0; i < 512; i++) b.poke64(AT.ept + 0x3000 + 8 * i, i === absent >> 12 ? 0 : (i << 12) | 0x37);
}

describe('event injection', () => {
  it('an external interrupt: its handler runs first, the frame returns to RIP', () => {
    bench
      .reset()
      .set('GUEST_RFLAGS', 0x202)
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(0, 0x21))
      .primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('90'), 'HLT');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 0x21 + 1);
    assert.equal(bench.get('GUEST_RSP'), AT.guestStack - 40);
    assert.equal(bench.peek64(AT.guestStack - 40), BigInt(AT.guestCode));
    assert.equal(bench.peek64(AT.guestStack - 24), 0x202n);
    assert.equal(bench.get('VM_ENTRY_INTR_INFO_FIELD'), inject(0, 0x21) & 0x7fffffff, 'the valid bit is cleared');
  });
  it('a hardware exception with its error code is not intercepted, and CR2 is not touched', () => {
    bench
      .reset()
      .set('EXCEPTION_BITMAP', 0xffffffff)
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(3, 14, 0x800))
      .set('VM_ENTRY_EXCEPTION_ERROR_CODE', 6)
      .primary(PRIMARY.HLT_EXITING);
    bench.cpu.set64(STATE.cr2, 0x77n);
    assert.equal(bench.launch('90'), 'HLT');
    assert.equal(bench.peek64(AT.guestStack - 48), 6n);
    assert.equal(bench.cpu.get64(STATE.cr2), 0x77n);
  });
  it('RFLAGS.RF is pushed as it is, whatever the event', () => {
    const events = [inject(0, 0x21), inject(2, 2), inject(3, 6), inject(3, 1), inject(4, 0x22), inject(6, 3)];
    for (const event of events)
      for (const flags of [0x202, 0x202 | RFLAGS_RF]) {
        bench.reset().set('GUEST_RFLAGS', flags).set('VM_ENTRY_INTR_INFO_FIELD', event);
        bench.set('VM_ENTRY_INSTRUCTION_LEN', 2).primary(PRIMARY.HLT_EXITING);
        assert.equal(bench.launch('90'), 'HLT');
        assert.equal(bench.peek64(AT.guestStack - 24), BigInt(flags), `event ${event.toString(16)}`);
      }
  });
  it('no debug exception stays pending, but behind MOV SS for a software interrupt or exception', () => {
    for (const [event, blocked, handler] of [
      [inject(0, 0x21), 0, 0x21],
      [inject(2, 2), 0, 2],
      [inject(3, 6), 2, 6],
      [inject(4, 0x22), 0, 0x22],
      [inject(5, 1), 2, 1],
      [inject(4, 0x22), 2, 1],
      [inject(6, 3), 2, 1],
    ]) {
      bench.reset().set('GUEST_RFLAGS', 0x302).set('VM_ENTRY_INTR_INFO_FIELD', event);
      bench.set('GUEST_INTERRUPTIBILITY_INFO', blocked).set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000);
      bench.set('VM_ENTRY_INSTRUCTION_LEN', 2).primary(PRIMARY.HLT_EXITING);
      assert.equal(bench.launch('90'), 'HLT', event.toString(16));
      assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * handler + 1, event.toString(16));
    }
  });
  it('a software exception returns behind the instruction', () => {
    bench
      .reset()
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(6, 3))
      .set('VM_ENTRY_INSTRUCTION_LEN', 1)
      .set('EXCEPTION_BITMAP', 8)
      .primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('cc'), 'HLT');
    assert.equal(bench.peek64(AT.guestStack - 40), BigInt(AT.guestCode + 1));
  });
  it('a software interrupt that faults in delivery: RIP at the INT, the event in the IDT-vectoring field', () => {
    bench
      .reset()
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(4, 0x22))
      .set('VM_ENTRY_INSTRUCTION_LEN', 2)
      .set('EXCEPTION_BITMAP', 1 << 13);
    bench.poke64(AT.guestIdt + 16 * 0x22, 0, 0);
    assert.equal(bench.launch('cd 22'), 'EXCEPTION_NMI');
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), inject(4, 0x22));
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 2);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
  it('into HLT: the guest is active, and returns behind the HLT', () => {
    bench
      .reset()
      .set('GUEST_RFLAGS', 0x202)
      .set('GUEST_ACTIVITY_STATE', 1)
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(0, 0x20))
      .primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('90'), 'HLT');
    assert.equal(bench.get('GUEST_ACTIVITY_STATE'), 0);
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 0x20 + 1);
  });
  it('a pending MTF exit comes before the first instruction', () => {
    bench.reset().set('VM_ENTRY_INTR_INFO_FIELD', inject(7, 0));
    assert.equal(bench.launch('90'), 'MONITOR_TRAP_FLAG');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
  it('an NMI with virtual NMIs blocks virtual NMIs', () => {
    bench
      .reset()
      .pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)
      .set('VM_ENTRY_INTR_INFO_FIELD', inject(2, 2))
      .primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('90'), 'HLT');
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 8);
    assert.equal(bench.cpu.get32(STATE.interruptibility), 0, 'NMIs themselves are not blocked');
  });
});

describe('the preemption timer', () => {
  const timer = (value: number): VmxBench =>
    bench.reset().pin(PIN.ACTIVATE_VMX_PREEMPTION_TIMER).set('VMX_PREEMPTION_TIMER_VALUE', value);

  it('0 exits before the first instruction', () => {
    timer(0);
    assert.equal(bench.launch('90'), 'PREEMPTION_TIMER');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
  it('counts 32 ticks for one, to the instruction', () => {
    timer(3);
    assert.equal(bench.launch('48 ff c0 eb fb'), 'PREEMPTION_TIMER');
    // VMLAUNCH is tick 1, so three changes of bit 5 take 95 more; every second one increments RAX.
    assert.equal(bench.cpu.reg64(0), 48n);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 3);
  });
  it('saves what is left', () => {
    timer(10).or('VM_EXIT_CONTROLS', EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE);
    assert.equal(bench.launch('b9 40 00 00 00 ff c9 75 fc 0f a2'), 'CPUID');
    assert.equal(bench.get('VMX_PREEMPTION_TIMER_VALUE'), 6);
  });
  it('goes on in HLT and ends it', () => {
    timer(100);
    assert.equal(bench.launch('f4'), 'PREEMPTION_TIMER');
    assert.equal(bench.get('GUEST_ACTIVITY_STATE'), 1);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
  });
  it('an injected event is delivered before it', () => {
    timer(0).set('VM_ENTRY_INTR_INFO_FIELD', inject(3, 6));
    assert.equal(bench.launch('90'), 'PREEMPTION_TIMER');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 6);
  });
});

describe('task switches', () => {
  it('exit in a 32-bit guest: selector and source, RIP at the instruction', () => {
    bench.reset();
    bench.poke64(AT.guestGdt + 0x28, ((AT.guestTss & 0xffff) << 16) | 0x67, 0x00008900 | (AT.guestTss >> 16));
    bench
      .set('VM_ENTRY_CONTROLS', bench.get('VM_ENTRY_CONTROLS') & ~0x200)
      .set('GUEST_IA32_EFER', 0x800)
      .set('GUEST_CS_AR_BYTES', 0xc09b)
      .set('GUEST_CS_SELECTOR', 0x18);
    bench.set('GUEST_CR0', 0x80000031).set('GUEST_CR4', 0x2010).set('GUEST_CR3', AT.free);
    for (let i = 0; i < 4; i++) bench.poke64(AT.free + 4 * i, ((i << 22) | 0xe7) >>> 0);
    bench.primary(PRIMARY.ACTIVATE_SECONDARY_CONTROLS);
    assert.equal(bench.launch('90 ea 00 00 00 00 28 00'), 'TASK_SWITCH');
    assert.equal(bench.get('EXIT_QUALIFICATION'), (0x28 | (2 << 30)) >>> 0);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 7);
    assert.equal(bench.cpu.selector(CS), 8, 'the host’s');
  });
});
