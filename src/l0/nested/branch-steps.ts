// SPDX-License-Identifier: Apache-2.0
// IA32_DEBUGCTL.BTF where vmcs12 says what vmcs02 cannot. VM entry wants the pending BS to go by TF and BTF wherever debug
// exceptions are held back; without "load debug controls" vmcs12's BTF is not the one that L2 has, which is L1's. vmcs02
// loads it, so its BS would have to be another. Instead vmcs02 has vmcs12's BTF, as long as it makes no difference: until
// the debug exception, which clears it, and in HLT, where no instruction is executed.
// See: SDM 27.3.1.5 Checks on Guest Non-Register State, 18.4.3 Single-Stepping on Branches

import { ENTRY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import {
  ACTIVITY,
  BLOCKING_BY_MOV_SS,
  BLOCKING_BY_STI,
  DEBUGCTL_BTF,
  PENDING_BS,
  RFLAGS_TF,
} from '../../arch/vmx/state-bits.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { isSet, setBits } from '../vmcs-access.ts';
import { ProcessorView } from './composition.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { GUEST_ACTIVITY_STATE, GUEST_IA32_DEBUGCTL, GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS } = OFFSET;
const { GUEST_RFLAGS, VM_ENTRY_CONTROLS, VM_ENTRY_INTR_INFO_FIELD, VM_EXIT_INTR_INFO, VM_EXIT_REASON } = OFFSET;
const VALID = 0x80000000;
/** Type and vector of interruption information. */
const DEBUG_EXCEPTION = (INTERRUPTION_TYPE.hardwareException << 8) | 1;

/** `set`: L2 waits in HLT without a pending step, although its BTF is 0. `clear`: with one, although its BTF is 1. */
export const LENT = { nothing: 0, set: 1, clear: 2 } as const;

/** L2 is about to be entered for the first time since L1 ran; vmcs02 has been written, with L1's BTF. */
export function lendBranchSteps({ vcpu: { processor }, vmcs12, state }: NestedVcpu): void {
  state.lent = LENT.nothing;
  if (vmcs12.low(VM_ENTRY_CONTROLS) & ENTRY.LOAD_DEBUG_CONTROLS || vectors(vmcs12) || !held(vmcs12)) return;
  if ((vmcs12.low(GUEST_RFLAGS) & RFLAGS_TF) === 0) return;
  const btf12 = vmcs12.low(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF;
  const btf = processor.readLow(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF;
  if (btf12 === btf) return;
  if (btf !== 0) state.lent = LENT.clear;
  else if (isHalted(vmcs12)) state.lent = LENT.set;
  else return;
  setBits(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS, btf12 === 0);
}

/** Before each entry of L2, with the event that it injects: whether BTF can go on being another. */
export function lendOnEntry({ vcpu: { processor }, state }: NestedVcpu): void {
  if (state.lent === LENT.nothing) return;
  const view = new ProcessorView(processor);
  const set = state.lent === LENT.set;
  const goesOn = set ? isHalted(view) : held(view) && isSet(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS);
  const injects = vectors(view);
  if (!goesOn || injects) state.lent = LENT.nothing;
  if (!goesOn) return;
  // An event ends HLT, and what waits: so no rule wants a step of this entry.
  if (injects) setBits(processor, GUEST_ACTIVITY_STATE, ACTIVITY.hlt, false);
  else setBits(processor, GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF, set);
  setBits(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS, !set && !injects);
}

/** After each exit of L2: what the hardware would have saved had BTF been L2's own. */
export function takeBack({ vcpu: { processor }, state }: NestedVcpu): void {
  if (state.lent === LENT.nothing) return;
  const view = new ProcessorView(processor);
  if (state.lent === LENT.set) {
    setBits(processor, GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF, false);
    if (isHalted(view)) setBits(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS, true);
    return;
  }
  const exits = isDebugException(view);
  if (exits || isSet(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS))
    setBits(processor, GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF, true);
  if (exits) setBits(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS, false);
}

/** The debug exception is an exit: it has not cleared BTF. */
function isDebugException(view: VmcsView): boolean {
  const information = view.low(VM_EXIT_INTR_INFO);
  return view.low(VM_EXIT_REASON) === EXIT_REASON.EXCEPTION_NMI && (information & 0x7ff) === DEBUG_EXCEPTION;
}

const isHalted = (view: VmcsView): boolean => view.low(GUEST_ACTIVITY_STATE) === ACTIVITY.hlt;

/** Debug exceptions wait, as the fields say it. */
const held = (view: VmcsView): boolean =>
  (view.low(GUEST_INTERRUPTIBILITY_INFO) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) !== 0 || isHalted(view);

/** The entry delivers an event, and no debug exception stays pending. */
function vectors(view: VmcsView): boolean {
  const information = view.low(VM_ENTRY_INTR_INFO_FIELD);
  return (information & VALID) !== 0 && ((information >>> 8) & 7) !== INTERRUPTION_TYPE.otherEvent;
}
