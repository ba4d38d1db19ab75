// SPDX-License-Identifier: Apache-2.0
// The world switch from L2 to L1: an emulated VM exit. L1 finds in vmcs12 what the processor would have left there.
// See: SDM Chapter 28 VM Exits; paper.md 2.6

import { ABORT_INDICATOR_OFFSET } from '../../arch/vmx/encoding.ts';
import { ENTRY, EXIT, PIN } from '../../arch/vmx/controls.ts';
import { MISC } from '../../arch/vmx/capabilities.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { VMX_ABORT } from '../../arch/vmx/errors.ts';
import { ENTRY_FAILURE_BIT, EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { ACTIVITY, BLOCKING_BY_NMI, CR0_PG, CR4_PAE } from '../../arch/vmx/state-bits.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { isSet } from '../vmcs-access.ts';
import { ProcessorView } from './composition.ts';
import { recordAddresses, recordExit, recordFailedEntry } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { loadHostState } from './host-state.ts';
import type { LeftByL2 } from './host-state.ts';
import { loadExitList, storeExitList } from './msr-lists.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { timerLeft } from './preemption-timer.ts';

const { VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS, VM_ENTRY_INTR_INFO_FIELD, PIN_BASED_VM_EXEC_CONTROL } = OFFSET;
const { GUEST_DR7, GUEST_IA32_DEBUGCTL, GUEST_IA32_PAT, GUEST_IA32_EFER, GUEST_PDPTR0, VMX_PREEMPTION_TIMER_VALUE } =
  OFFSET;
const { GUEST_CR0, GUEST_CR4, GUEST_INTERRUPTIBILITY_INFO } = OFFSET;
const { VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT, VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT } = OFFSET;
const NMI_EXIT = 0x80000202;
const NO_FIELD = -1;

/**
 * Makes L2 exit to L1. vmcs02 is current and holds L2's state. `hardware`: the exit is the one that the processor made,
 * and comes with its addresses.
 */
export function leaveL2(nested: NestedVcpu, exit: ExitInformation, hardware: boolean): void {
  const { vcpu, vmcs12, vpid12 } = nested;
  const view02 = new ProcessorView(vcpu.processor);
  nested.recording.exiting(nested);
  saveGuestState(nested, view02);
  recordExit(vmcs12, exit);
  if (hardware) recordAddresses(vmcs12, exit, view02);
  vmcs12.saveField(VM_ENTRY_INTR_INFO_FIELD, vmcs12.low(VM_ENTRY_INTR_INFO_FIELD) & 0x7fffffff, 0);
  traceExit(nested, exit);
  if (storeExitList(vcpu, addressAt(vmcs12, VM_EXIT_MSR_STORE_ADDR), vmcs12.low(VM_EXIT_MSR_STORE_COUNT)) !== 0) {
    return abort(nested, VMX_ABORT.SAVING_GUEST_MSRS);
  }
  toL1(nested, leftIn(nested, view02.low(GUEST_CR0), view02, nmiBlocked(nested, view02, exit)));
  nested.vpids.leave(vpid12);
}

/** The entry failed on L2's state: nothing was loaded, vmcs01 is current. */
export function failEntryBeforeLoading(nested: NestedVcpu, reason: number, qualification: number): void {
  const { vcpu, vmcs12 } = nested;
  recordFailedEntry(vmcs12, (reason | ENTRY_FAILURE_BIT) >>> 0, qualification);
  const view01 = new ProcessorView(vcpu.processor);
  const nmiBlocked = isSet(vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI);
  toL1(nested, leftIn(nested, vcpu.cr0, view01, nmiBlocked));
}

/**
 * The entry failed on its MSR list, with L2's state loaded; no state is saved and no MSR stored. vmcs02 is current, but no
 * processor has entered with it: the bits of CR0 that entries do not load are still those of L1's `cr0`.
 */
export function failEntryAfterLoading(nested: NestedVcpu, reason: number, qualification: number, cr0: number): void {
  const { vcpu, vmcs12, vpid12 } = nested;
  recordFailedEntry(vmcs12, (reason | ENTRY_FAILURE_BIT) >>> 0, qualification);
  // What was loaded is lost: vmcs02 must be made anew.
  vmcs12.forgetEntry();
  const view02 = new ProcessorView(vcpu.processor);
  toL1(nested, leftIn(nested, cr0, view02, nmiBlocked(nested, view02, undefined)));
  nested.vpids.leave(vpid12);
}

/** Fields that L2's run has changed, as far as vmcs12's VM-exit controls have them saved. See: SDM 28.3 Saving Guest State */
function saveGuestState(nested: NestedVcpu, view02: ProcessorView): void {
  const { vmcs12, vmcs02, ept12, shown } = nested;
  const exit = vmcs12.low(VM_EXIT_CONTROLS);
  const save = (offset: number): void => vmcs12.saveField(offset, view02.low(offset), view02.high(offset));
  vmcs02.saveGuestState(vmcs12);
  if (exit & EXIT.SAVE_DEBUG_CONTROLS) {
    save(GUEST_DR7);
    save(GUEST_IA32_DEBUGCTL);
  }
  if (exit & EXIT.SAVE_IA32_PAT) save(GUEST_IA32_PAT);
  if (exit & EXIT.SAVE_IA32_EFER) vmcs12.saveField(GUEST_IA32_EFER, nested.vcpu.efer, 0);
  if (exit & EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE) vmcs12.saveField(VMX_PREEMPTION_TIMER_VALUE, timerLeft(nested), 0);
  // Without PAE paging the manual leaves open what is saved: nothing is.
  if (ept12 && paePaging(view02)) for (let i = 0; i < 4; i++) save(GUEST_PDPTR0 + 8 * i);
  if (extract(MISC.EXIT_STORES_LMA, shown.IA32_VMX_MISC?.low ?? 0) !== 0) {
    const long = view02.low(VM_ENTRY_CONTROLS) & ENTRY.IA32E_MODE_GUEST;
    vmcs12.saveField(VM_ENTRY_CONTROLS, (vmcs12.low(VM_ENTRY_CONTROLS) & ~ENTRY.IA32E_MODE_GUEST) | long, 0);
  }
}

/** Of L2, as the exit has left it. */
function paePaging(view02: ProcessorView): boolean {
  const paging = (view02.low(GUEST_CR0) & CR0_PG) !== 0 && (view02.low(GUEST_CR4) & CR4_PAE) !== 0;
  return paging && (view02.low(VM_ENTRY_CONTROLS) & ENTRY.IA32E_MODE_GUEST) === 0;
}

/** IA32_PAT is in the current VMCS if there is a field for it. */
function leftIn({ vcpu, patInVmcs }: NestedVcpu, cr0: number, view: ProcessorView, blocked: boolean): LeftByL2 {
  return {
    cr0,
    efer: vcpu.efer,
    patLow: patInVmcs ? view.low(GUEST_IA32_PAT) : NO_FIELD,
    patHigh: patInVmcs ? view.high(GUEST_IA32_PAT) : NO_FIELD,
    nmiBlocked: blocked,
  };
}

/** With "virtual NMIs" the blocking was of L2's virtual NMIs. See: SDM 28.5.5 Updating Non-Register State */
function nmiBlocked({ vmcs12 }: NestedVcpu, view02: ProcessorView, exit: ExitInformation | undefined): boolean {
  if (exit?.reason === EXIT_REASON.EXCEPTION_NMI && (exit.interruption & 0x800007ff) >>> 0 === NMI_EXIT) return true;
  if ((vmcs12.low(PIN_BASED_VM_EXEC_CONTROL) & PIN.VIRTUAL_NMIS) !== 0) return false;
  return (view02.low(GUEST_INTERRUPTIBILITY_INFO) & BLOCKING_BY_NMI) !== 0;
}

/** vmcs01 with L1's host state, and the MSRs that go with it. */
function toL1(nested: NestedVcpu, left: LeftByL2): void {
  const { vcpu, vmcs12, shadow } = nested;
  vcpu.processor.vmptrld(vcpu.vmcs01);
  vcpu.state.level = 1;
  vcpu.tsc.apply();
  const indicator = loadHostState(vcpu, vmcs12, left);
  if (indicator !== 0) return abort(nested, indicator);
  if (loadExitList(vcpu, addressAt(vmcs12, VM_EXIT_MSR_LOAD_ADDR), vmcs12.low(VM_EXIT_MSR_LOAD_COUNT)) !== 0) {
    return abort(nested, VMX_ABORT.LOADING_HOST_MSRS);
  }
  shadow?.push(vmcs12);
}

/** L1's processor is in shutdown from now on; the region says why. See: SDM 28.7 VMX Aborts */
function abort({ vcpu, vmcs12 }: NestedVcpu, indicator: number): void {
  vmcs12.words[ABORT_INDICATOR_OFFSET >> 2] = indicator;
  vmcs12.flush(vcpu.machine.memory);
  if (vcpu.state.level === 2) vcpu.processor.vmptrld(vcpu.vmcs01);
  vcpu.state.level = 1;
  vcpu.state.activity = ACTIVITY.shutdown;
  vcpu.machine.services.shutdown(vcpu.index, indicator);
}

function traceExit({ vcpu, host }: NestedVcpu, exit: ExitInformation): void {
  const { recorder, time } = host;
  if (!recorder.tracing) return;
  const wide = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low);
  recorder.event('kvm_nested_vmexit_inject', 0, vcpu.index, time.nanoseconds(), {
    exit_reason: exit.reason,
    exit_info1: wide(exit.qualificationLow, exit.qualificationHigh),
    exit_info2: exit.vectoring,
    exit_int_info: exit.interruption,
    exit_int_info_err: exit.errorCode,
  });
}
