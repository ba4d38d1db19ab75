// SPDX-License-Identifier: Apache-2.0
// L1's VMX-preemption timer runs in hardware while L2 does. L2's time also passes while L0 serves it, so the timer is
// kept as the moment of its end: each entry that L0 makes by itself loads what is left, and so does an exit to L1.
// See: SDM 26.5.1 VMX-Preemption Timer

import { MISC } from '../../arch/vmx/capabilities.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { PIN } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { write32 } from '../vmcs-access.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { PIN_BASED_VM_EXEC_CONTROL, VMX_PREEMPTION_TIMER_VALUE } = OFFSET;
const TWO_32 = 0x1_0000_0000;
const now: Halves = { low: 0, high: 0 };

/** Of the processor's time-stamp counter, which L0 does not write: the unit in which the timer counts. */
function periods({ vcpu, shown }: NestedVcpu): number {
  vcpu.processor.readTsc(now);
  const rate = extract(MISC.PREEMPTION_TIMER_RATE, shown.IA32_VMX_MISC?.low ?? 0);
  return Math.floor((now.high * TWO_32 + now.low) / 2 ** rate);
}

const active = ({ vmcs12 }: NestedVcpu): boolean =>
  (vmcs12.low(PIN_BASED_VM_EXEC_CONTROL) & PIN.ACTIVATE_VMX_PREEMPTION_TIMER) !== 0;

/** L1 enters L2: the timer begins with the value in vmcs12. */
export function startTimer(nested: NestedVcpu): void {
  if (active(nested)) nested.state.timerEnd = periods(nested) + nested.vmcs12.low(VMX_PREEMPTION_TIMER_VALUE);
}

/** What is left of it now; 0 when it has expired. */
export function timerLeft(nested: NestedVcpu): number {
  return Math.max(0, nested.state.timerEnd - periods(nested));
}

/** vmcs02 is current, and about to be entered. */
export function continueTimer(nested: NestedVcpu): void {
  if (active(nested)) write32(nested.vcpu.processor, VMX_PREEMPTION_TIMER_VALUE, timerLeft(nested));
}
