// SPDX-License-Identifier: Apache-2.0
// TypeScript software in root operation: what it is called with, and what of its doing the guest sees.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PIN, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { exitReason } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { ExitVerdict, Halves, RootProcessor, RootSoftware } from '../../hardware/vmx.ts';
import { OwnedMemory } from './root-owner.ts';
import { AT, VmxBench, hex } from './vmx-bench.test.ts';

const bench = new VmxBench();

/** Enters, notes every exit, and lets the test say what to do. */
class Software implements RootSoftware {
  readonly log: string[] = [];
  readonly onExit: (processor: RootProcessor, name: string) => ExitVerdict;
  ticks: number[] = [];

  constructor(onExit: (processor: RootProcessor, name: string) => ExitVerdict) {
    this.onExit = onExit;
  }
  exit(processor: RootProcessor): ExitVerdict {
    const reason = processor.readLow(OFFSET.VM_EXIT_REASON);
    const name = `${reason >= 0x80000000 ? 'failed: ' : ''}${exitReason(reason & 0xffff)?.name}`;
    this.log.push(name);
    this.ticks.push(bench.cpu.ticks);
    return this.onExit(processor, name);
  }
  entryFailed(_processor: RootProcessor, error: number): never {
    throw new Error(`entry failed with ${error}`);
  }
  kicked(): ExitVerdict {
    this.log.push('kicked');
    return 'enter';
  }
}

const out: Halves = { low: 0, high: 0 };
function skip(processor: RootProcessor): void {
  const length = processor.readLow(OFFSET.VM_EXIT_INSTRUCTION_LEN);
  processor.write(OFFSET.GUEST_RIP, processor.readLow(OFFSET.GUEST_RIP) + length, 0);
  processor.retire();
}

function own(code: string, software: Software, configure: (b: VmxBench) => void = () => {}): void {
  bench.reset();
  configure(bench);
  bench.poke(AT.guestCode, hex(code));
  bench.unit.own(software);
  bench.run();
}

describe('an owner of root operation', () => {
  it('is asked first, enters, gets exits, completes instructions, halts', () => {
    const software = new Software((processor, name) => {
      if (name === 'HLT') return 'halt';
      processor.readGeneral(0, out);
      processor.writeGeneral(0, out.low + 1, 0x55);
      processor.writeRegister('cr2', 0x1234, 0);
      skip(processor);
      return 'enter';
    });
    own('b8 06 00 00 00 0f a2 48 89 c3 0f 20 d1 f4', software, (b) => b.primary(PRIMARY.HLT_EXITING));
    assert.deepEqual(software.log, ['kicked', 'CPUID', 'HLT']);
    assert.equal(bench.cpu.reg64(3), 0x5500000007n);
    assert.equal(bench.cpu.reg64(1), 0x1234n);
    assert.equal(bench.unit.owner?.currentVmcs, AT.vmcs);
  });
  it('an instruction that it completes takes one tick, one that it does not takes none', () => {
    const software = new Software((processor, name) => {
      if (name === 'HLT') return 'halt';
      skip(processor);
      return 'enter';
    });
    own('0f a2 90 0f a2 f4', software, (b) => b.primary(PRIMARY.HLT_EXITING));
    assert.deepEqual(software.ticks, [0, 2, 3]);
  });
  it('a retried access takes no time', () => {
    const software = new Software((processor, name) => {
      if (name !== 'EPT_VIOLATION') return 'halt';
      bench.poke64(AT.ept + 0x2008, 0x2000b7);
      processor.invept(1, { low: AT.ept | 0x1e, high: 0 });
      return 'enter';
    });
    own('90 8b 04 25 00 00 20 00 0f a2', software, (b) => {
      b.secondary(SECONDARY.ENABLE_EPT);
      b.poke64(AT.ept, (AT.ept + 0x1000) | 7);
      b.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
      b.poke64(AT.ept + 0x2000, 0xb7);
    });
    assert.deepEqual(software.log, ['kicked', 'EPT_VIOLATION', 'CPUID']);
    assert.deepEqual(software.ticks, [1, 2]);
  });
  it('an injected fault whose delivery meets an EPT violation takes no time either, and can be injected again', () => {
    let injections = 0;
    const software = new Software((processor, name) => {
      if (name !== 'EPT_VIOLATION') return 'halt';
      assert.equal(processor.readLow(OFFSET.IDT_VECTORING_INFO_FIELD), 0x80000b0e);
      processor.write(OFFSET.VM_ENTRY_INTR_INFO_FIELD, 0x80000b0e, 0);
      processor.write(OFFSET.GUEST_RSP, ++injections < 3 ? 0x300000 : AT.guestStack, 0);
      return 'enter';
    });
    own('90', software, (b) => {
      b.secondary(SECONDARY.ENABLE_EPT).primary(PRIMARY.HLT_EXITING);
      b.poke64(AT.ept, (AT.ept + 0x1000) | 7);
      b.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
      b.poke64(AT.ept + 0x2000, 0xb7);
      b.set('GUEST_RSP', 0x300000).set('VM_ENTRY_INTR_INFO_FIELD', 0x80000b0e);
    });
    assert.deepEqual(software.log, ['kicked', 'EPT_VIOLATION', 'EPT_VIOLATION', 'EPT_VIOLATION', 'HLT']);
    assert.deepEqual(software.ticks, [0, 0, 0, 1]);
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 * 14 + 1);
  });
  it('waits for the end of a shadow with that, unless it is to be at once', () => {
    for (const atOnce of [false, true]) {
      const software = new Software((processor, name) => {
        if (name === 'EXTERNAL_INTERRUPT') return 'halt';
        skip(processor);
        processor.write(OFFSET.GUEST_INTERRUPTIBILITY_INFO, 2, 0);
        bench.unit.owner?.kick(atOnce);
        return 'enter';
      });
      own('0f a2 90 90', software);
      assert.deepEqual(software.log, ['kicked', 'CPUID', 'EXTERNAL_INTERRUPT']);
      assert.equal(bench.get('GUEST_RIP'), AT.guestCode + (atOnce ? 2 : 3));
    }
  });
  it('can end the guest’s run from outside, and be woken', () => {
    let kicks = 0;
    const software = new Software((processor, name) => {
      if (name === 'EXTERNAL_INTERRUPT') return ++kicks === 1 ? 'enter' : 'halt';
      bench.unit.owner?.kick();
      skip(processor);
      return 'enter';
    });
    own('0f a2 90 0f a2 eb fe', software);
    assert.deepEqual(software.log, ['kicked', 'CPUID', 'EXTERNAL_INTERRUPT', 'CPUID', 'EXTERNAL_INTERRUPT']);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 5);
    assert.equal(bench.unit.wakes(bench), false);
    bench.unit.owner?.kick();
    assert.equal(bench.unit.wakes(bench), true);
  });
  it('an exit in the entry itself comes back by the same way, without recursion', () => {
    let left = 1000;
    const software = new Software((processor) => {
      processor.write(OFFSET.VMX_PREEMPTION_TIMER_VALUE, 0, 0);
      return --left > 0 ? 'enter' : 'halt';
    });
    own('90', software, (b) => b.pin(PIN.ACTIVATE_VMX_PREEMPTION_TIMER));
    assert.equal(software.log.length, 1001);
    assert.ok(software.log.every((name, i) => name === (i === 0 ? 'kicked' : 'PREEMPTION_TIMER')));
  });
  it('a failed entry of the kind that exits comes with bit 31; a VMfail to entryFailed', () => {
    const software = new Software(() => 'halt');
    own('90', software, (b) => b.set('GUEST_RFLAGS', 0));
    assert.deepEqual(software.log, ['kicked', 'failed: INVALID_STATE']);
    assert.throws(
      () => own('90', new Software(() => 'halt'), (b) => b.set('CPU_BASED_VM_EXEC_CONTROL', 0)),
      /entry failed with 7/,
    );
  });
  it('the host-state area is not used', () => {
    const software = new Software(() => 'halt');
    own('0f a2', software);
    assert.equal(bench.cpu.rip, AT.guestCode);
    assert.equal(bench.cpu.get32(0x2e4), 0);
  });
  it('sees memory through one write path', () => {
    const memory = new OwnedMemory(bench.memory);
    memory.write32(AT.free, 0x12345678);
    assert.equal(memory.read32(AT.free), 0x12345678);
    assert.equal(memory.bytes, 8 << 20);
    const bytes = new Uint8Array(4);
    memory.read(AT.free, bytes);
    assert.deepEqual([...bytes], [0x78, 0x56, 0x34, 0x12]);
  });
});
