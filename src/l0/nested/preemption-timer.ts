// SPDX-License-Identifier: Apache-2.0
// The VMX-preemption timer of L2 runs in hardware. What the hardware does not see are the instructions that L0 counts at an
// exit: where such a tick is one at which the timer counts, L0 counts it down.

import { MISC } from '../../arch/vmx/capabilities.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { PIN } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { Vcpu } from '../vcpu.ts';
import { isSet, write32 } from '../vmcs-access.ts';

const { PIN_BASED_VM_EXEC_CONTROL, VMX_PREEMPTION_TIMER_VALUE } = OFFSET;

/** vmcs02 is current and an instruction has just been counted. See: SDM 26.5.1 VMX-Preemption Timer */
export function preemptionTimerCounts({ processor }: Vcpu): void {
  if (!isSet(processor, PIN_BASED_VM_EXEC_CONTROL, PIN.ACTIVATE_VMX_PREEMPTION_TIMER)) return;
  const value = processor.readLow(VMX_PREEMPTION_TIMER_VALUE);
  if (value === 0) return;
  const rate = extract(MISC.PREEMPTION_TIMER_RATE, processor.capabilities.IA32_VMX_MISC?.low ?? 0);
  const now: Halves = { low: 0, high: 0 };
  processor.readTsc(now);
  if ((now.low & ((1 << rate) - 1)) === 0) write32(processor, VMX_PREEMPTION_TIMER_VALUE, value - 1);
}
