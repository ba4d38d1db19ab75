// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

test('the preemption timer runs in hardware, over exits that L1 does not see, and is saved if L1 asks', () => {
  const timer: (vmcs: ExampleVmcs) => void = (vmcs) => (
    vmcs.or('PIN_BASED_VM_EXEC_CONTROL', 0x40),
    vmcs.set('VMX_PREEMPTION_TIMER_VALUE', 1000)
  );
  const f = new NestedFixture().launch(timer);
  assert.equal(f.processor.get('VMX_PREEMPTION_TIMER_VALUE'), 1000n);
  assert.ok(f.processor.get('VM_EXIT_CONTROLS') & (1n << 22n));
  // A period is 32 ticks; they pass in L2 and, where L0 completes an instruction of L2, in L0.
  f.processor.ticks += 32 * 100;
  assert.equal(f.exit('EXTERNAL_INTERRUPT', { VMX_PREEMPTION_TIMER_VALUE: 901 }), 'L2');
  assert.equal(f.processor.get('VMX_PREEMPTION_TIMER_VALUE'), 900n);
  f.processor.ticks += 32 * 1000;
  assert.equal(f.exit('EXTERNAL_INTERRUPT'), 'L2');
  assert.equal(f.processor.get('VMX_PREEMPTION_TIMER_VALUE'), 0n, 'the hardware makes the exit at once');
  f.exit('PREEMPTION_TIMER');
  assert.equal(f.get12('VMX_PREEMPTION_TIMER_VALUE'), 1000n, 'not saved');
  f.execute('VMRESUME');
  assert.equal(f.processor.get('VMX_PREEMPTION_TIMER_VALUE'), 1000n);
  const g = new NestedFixture().launch((vmcs) => (timer(vmcs), vmcs.or('VM_EXIT_CONTROLS', 1 << 22)));
  g.processor.ticks += 32 * 300 + 31 - (g.processor.ticks % 32);
  g.exit('CPUID', { VMX_PREEMPTION_TIMER_VALUE: 701 });
  assert.equal(g.get12('VMX_PREEMPTION_TIMER_VALUE'), 699n, 'as the clock has it once the instruction is counted');
  g.execute('VMRESUME');
  g.processor.ticks += 32 * 700;
  g.exit('PREEMPTION_TIMER', { VMX_PREEMPTION_TIMER_VALUE: 0 });
  assert.equal(g.get12('VMX_PREEMPTION_TIMER_VALUE'), 0n);
});
