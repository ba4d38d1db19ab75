// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PRIMARY } from '../arch/vmx/controls.ts';
import { ACTIVITY } from '../arch/vmx/state-bits.ts';
import { PROCESSOR_SIGNATURE } from '../arch/cpuid.ts';
import { RunRecorder } from '../trace/recorder.ts';
import type { TraceEvent } from '../trace/events.ts';
import { CODE, Fixture, brokenRules } from './l0-fixture.testing.ts';

const INTERRUPTS_ON = 0x202;
const RDX = 2;

function withApic(fixture: Fixture): Fixture {
  fixture.vcpu.localApic.writeMemory(0xf0, 4, 0x1ff);
  return fixture;
}
const windows = ({ processor }: Fixture): string => {
  const primary = Number(processor.get('CPU_BASED_VM_EXEC_CONTROL'));
  return [
    primary & PRIMARY.INTERRUPT_WINDOW_EXITING ? 'interrupt' : '',
    primary & PRIMARY.NMI_WINDOW_EXITING ? 'NMI' : '',
  ].join('');
};

describe('events for L1', () => {
  it('an interrupt kicks, and is injected at the exit if L1 takes interrupts', () => {
    const fixture = withApic(new Fixture());
    fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
    fixture.vcpu.localApic.accept(0x41, false);
    assert.equal(fixture.processor.kicks, 1);
    assert.equal(fixture.exit('EXTERNAL_INTERRUPT'), 'enter');
    assert.deepEqual([fixture.injected, windows(fixture)], [{ vector: 0x41, type: 0 }, '']);
    assert.deepEqual([fixture.vcpu.rip, fixture.processor.ticks], [CODE, 0]);
    assert.deepEqual(brokenRules(fixture), []);
  });

  for (const [why, field, value] of [
    ['IF is 0', 'GUEST_RFLAGS', 2],
    ['STI blocks', 'GUEST_INTERRUPTIBILITY_INFO', 1],
    ['MOV SS blocks', 'GUEST_INTERRUPTIBILITY_INFO', 2],
  ] as const) {
    it(`waits for the window while ${why}`, () => {
      const fixture = withApic(new Fixture());
      fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
      fixture.processor.set(field, value);
      fixture.vcpu.localApic.accept(0x41, false);
      fixture.exit('EXTERNAL_INTERRUPT');
      assert.deepEqual([fixture.injected, windows(fixture)], [undefined, 'interrupt']);
      fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
      fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 0);
      fixture.exit('INTERRUPT_WINDOW');
      assert.deepEqual([fixture.injected, windows(fixture)], [{ vector: 0x41, type: 0 }, '']);
    });
  }

  it('the more urgent of two first, and a window for the other', () => {
    const fixture = withApic(new Fixture());
    fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
    fixture.vcpu.localApic.accept(0x41, false);
    fixture.exit('EXTERNAL_INTERRUPT');
    fixture.vcpu.localApic.accept(0x51, false);
    fixture.vcpu.localApic.accept(0x42, false);
    fixture.exit('EXTERNAL_INTERRUPT');
    assert.equal(fixture.injected?.vector, 0x51);
    assert.equal(windows(fixture), '', 'the rest waits for EOI, not for the window');
    fixture.vcpu.localApic.writeMemory(0xb0, 4, 0);
    fixture.vcpu.localApic.accept(0x61, false);
    fixture.exit('EXTERNAL_INTERRUPT', { IDT_VECTORING_INFO_FIELD: 0x80000051 });
    assert.deepEqual([fixture.injected?.vector, windows(fixture)], [0x51, 'interrupt']);
  });

  it('an NMI goes before interrupts, waits while NMIs are blocked, and then for its window', () => {
    const fixture = withApic(new Fixture());
    fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
    fixture.vcpu.nmi();
    fixture.vcpu.localApic.accept(0x41, false);
    fixture.exit('EXTERNAL_INTERRUPT');
    assert.deepEqual([fixture.injected, windows(fixture)], [{ vector: 2, type: 2 }, 'interrupt']);
    assert.deepEqual(brokenRules(fixture), []);
    fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 8);
    fixture.processor.set('GUEST_RFLAGS', 2);
    fixture.vcpu.nmi();
    fixture.exit('EXTERNAL_INTERRUPT');
    assert.deepEqual([fixture.injected, windows(fixture)], [undefined, 'interruptNMI']);
    fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 0);
    fixture.exit('NMI_WINDOW');
    assert.deepEqual([fixture.injected, windows(fixture)], [{ vector: 2, type: 2 }, 'interrupt']);
  });

  it('a delivery that an exit interrupted is repeated as it was', () => {
    const fixture = new Fixture();
    fixture.exit('EXTERNAL_INTERRUPT', {
      IDT_VECTORING_INFO_FIELD: 0x80001b0d,
      IDT_VECTORING_ERROR_CODE: 0x18,
      VM_EXIT_INSTRUCTION_LEN: 0,
    });
    assert.deepEqual(fixture.injected, { vector: 13, type: 3, errorCode: 0x18 });
    fixture.exit('EXTERNAL_INTERRUPT', { IDT_VECTORING_INFO_FIELD: 0x80000480, VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual(
      [fixture.injected, fixture.processor.get('VM_ENTRY_INSTRUCTION_LEN')],
      [{ vector: 0x80, type: 4 }, 2n],
    );
    fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 8);
    fixture.exit('EXTERNAL_INTERRUPT', { IDT_VECTORING_INFO_FIELD: 0x80000202 });
    assert.deepEqual(
      [fixture.injected, fixture.processor.get('GUEST_INTERRUPTIBILITY_INFO')],
      [{ vector: 2, type: 2 }, 0n],
    );
    fixture.exit('EXTERNAL_INTERRUPT');
    assert.equal(fixture.injected, undefined, 'once');
  });

  it('a fault is delivered with RF set, in real-address mode without error code', () => {
    const fixture = new Fixture();
    fixture.processor.general[1] = 0x12345n;
    fixture.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual([fixture.injected, fixture.vcpu.rflags], [{ vector: 13, type: 3, errorCode: 0 }, 0x10002]);
    assert.deepEqual(brokenRules(fixture), []);
    fixture.vcpu.init();
    fixture.l0.kicked(fixture.processor);
    fixture.exit('MSR_READ', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual(fixture.injected, { vector: 13, type: 3 });
  });

  it('HLT halts until an interrupt that L1 takes, or an NMI', () => {
    const fixture = withApic(new Fixture());
    fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
    assert.equal(fixture.exit('HLT', { VM_EXIT_INSTRUCTION_LEN: 1 }), 'halt');
    assert.equal(fixture.l0.kicked(fixture.processor), 'halt');
    fixture.vcpu.localApic.accept(0x41, false);
    assert.equal(fixture.processor.kicks, 1);
    assert.equal(fixture.l0.kicked(fixture.processor), 'enter');
    assert.deepEqual([fixture.injected, fixture.vcpu.rip], [{ vector: 0x41, type: 0 }, CODE + 1]);
    fixture.processor.set('GUEST_RFLAGS', 2);
    assert.equal(fixture.exit('HLT', { VM_EXIT_INSTRUCTION_LEN: 1 }), 'halt');
    fixture.vcpu.localApic.accept(0x61, false);
    assert.equal(fixture.l0.kicked(fixture.processor), 'halt', 'IF is 0');
    fixture.vcpu.nmi();
    assert.equal(fixture.l0.kicked(fixture.processor), 'enter');
    assert.deepEqual(fixture.injected, { vector: 2, type: 2 });
  });

  it('HLT under STI with an interrupt pending does not halt', () => {
    const fixture = withApic(new Fixture());
    fixture.processor.set('GUEST_RFLAGS', INTERRUPTS_ON);
    fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 1);
    fixture.vcpu.localApic.accept(0x41, false);
    assert.equal(fixture.exit('HLT', { VM_EXIT_INSTRUCTION_LEN: 1 }), 'enter');
    assert.equal(fixture.injected?.vector, 0x41);
  });
});

describe('processors', () => {
  it('start with INIT and a start-up IPI, in real-address mode', () => {
    const fixture = new Fixture('modern-1', { processors: 2 });
    const [first, second] = fixture.machine.processors;
    assert.equal(fixture.l0.kicked(second), 'halt');
    const { localApic } = fixture.vcpu;
    withApic(fixture);
    localApic.writeMemory(0x310, 4, 1 << 24);
    localApic.writeMemory(0x300, 4, 0x4500);
    assert.deepEqual([second.kicks, first.kicks], [1, 0]);
    assert.equal(fixture.l0.kicked(second), 'halt');
    localApic.writeMemory(0x300, 4, 0x4608);
    assert.equal(fixture.l0.kicked(second), 'enter');
    assert.deepEqual(
      (['GUEST_CS_SELECTOR', 'GUEST_CS_BASE', 'GUEST_RIP', 'CR0_READ_SHADOW'] as const).map((name) => second.get(name)),
      [0x800n, 0x8000n, 0n, 0x10n],
    );
    assert.equal(second.general[RDX], BigInt(PROCESSOR_SIGNATURE));
    const entered = Object.assign(Object.create(fixture) as Fixture, { processor: second });
    assert.deepEqual(brokenRules(entered), []);
    localApic.writeMemory(0x300, 4, 0x4609);
    fixture.exit('EXTERNAL_INTERRUPT', {}, second);
    assert.equal(second.get('GUEST_CS_SELECTOR'), 0x800n, 'a running processor ignores a start-up IPI');
  });

  it('INIT of the boot processor leads to the reset vector, and stays pending where nested VMX blocks it', () => {
    const fixture = new Fixture();
    fixture.vcpu.init();
    fixture.exit('EXTERNAL_INTERRUPT');
    assert.deepEqual(
      [fixture.processor.get('GUEST_CS_BASE'), fixture.vcpu.rip, fixture.vcpu.cr0],
      [0xffff0000n, 0xfff0, 0x10],
    );
    assert.deepEqual(brokenRules(fixture), []);
  });

  it("L0's state is data: what is saved can be restored", () => {
    const fixture = withApic(new Fixture());
    const saved = fixture.vcpu.save();
    fixture.vcpu.nmi();
    fixture.exit('HLT', { VM_EXIT_INSTRUCTION_LEN: 1 });
    fixture.exit('HLT', { VM_EXIT_INSTRUCTION_LEN: 1 });
    assert.equal(fixture.vcpu.state.activity, ACTIVITY.hlt);
    fixture.vcpu.restore(saved);
    assert.deepEqual(fixture.vcpu.save(), saved);
  });
});

describe('what is recorded', () => {
  it("counts exits and entries of L1, and traces them with KVM's names", () => {
    const events: TraceEvent[] = [];
    const recorder = new RunRecorder((event) => events.push(event));
    const fixture = new Fixture('modern-1', { l0: { recorder } });
    fixture.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual(
      recorder
        .exitsOf(1)
        .counts()
        .map(({ reason, samples }) => [reason, samples]),
      [[10, 1]],
    );
    assert.deepEqual(
      events.map(({ name }) => name),
      ['kvm_exit', 'kvm_cpuid', 'kvm_entry'],
    );
    assert.equal(events[0].fields.guest_rip, CODE);
  });
});
