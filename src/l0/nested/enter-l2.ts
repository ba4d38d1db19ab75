// SPDX-License-Identifier: Apache-2.0
// The world switch from L1 to L2: what VMLAUNCH and VMRESUME do when L1 executes them. Each stage fails in its own way.
// See: SDM 27.1 Basic VM-Entry Checks to 27.8 VM-Entry Failures During or After Loading Guest State; paper.md 2.3

import { firstBasicFailure } from '../../arch/vmx/basic-checks.ts';
import { LAUNCH_STATE } from '../../arch/vmx/encoding.ts';
import { firstFailure } from '../../arch/vmx/entry-checks.ts';
import { qualificationOf } from '../../arch/vmx/entry-check-row.ts';
import type { EntryCheck, EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { MSR_ENTRY_SIZE } from '../../arch/vmx/msr-load-rules.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { BLOCKING_BY_MOV_SS } from '../../arch/vmx/state-bits.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { isSet } from '../vmcs-access.ts';
import { lendBranchSteps } from './branch-steps.ts';
import { eferOfL2, setEferOfL2 } from './efer.ts';
import { failEntryAfterLoading, failEntryBeforeLoading } from './leave-l2.ts';
import { failedLoadRule, loadEntryList } from './msr-lists.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { startTimer } from './preemption-timer.ts';
import { failEntry } from './outcome.ts';

const { GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT } =
  OFFSET;
const { GUEST_CR3, EPT_POINTER } = OFFSET;
const VALID = 0x80000000;

/** VMLAUNCH (`launch`) or VMRESUME by L1 at CPL 0 in VMX operation. Afterwards L1 or L2 is ready to go on. */
export function enterL2(nested: NestedVcpu, launch: boolean): void {
  const { vmcs12, shadow } = nested;
  nested.recording.entering(nested);
  if (vmcs12.isCurrent) shadow?.pull(vmcs12);
  const refused = brokenBasicRule(nested, launch) ?? brokenRule(nested, 'controls') ?? brokenRule(nested, 'host');
  if (refused !== undefined) {
    report(nested, refused, refused.failure.kind === 'VMfailValid' ? refused.failure.error : 0);
    return failEntry(nested, refused);
  }
  // From here on the instruction is done, whatever comes of it: L1 goes on at its host RIP.
  const broken = brokenRule(nested, 'guest') ?? brokenRule(nested, 'pdpte');
  if (broken !== undefined) {
    const qualification = qualificationOf(broken);
    report(nested, broken, qualification);
    return failEntryBeforeLoading(nested, EXIT_REASON.INVALID_STATE, qualification);
  }
  switchToL2(nested);
}

function brokenBasicRule({ vcpu, vmcs12, basic }: NestedVcpu, launch: boolean): EntryRule | undefined {
  basic.current = vmcs12.isCurrent;
  basic.shadow = basic.current && vmcs12.isShadow;
  basic.movSs = isSet(vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_MOV_SS);
  basic.launch = launch;
  basic.launchState = vmcs12.launchState;
  return firstBasicFailure(basic);
}

type Stage = EntryCheck['stage'];

/** vmcs12 is L0's copy: what is checked here is what is used. */
function brokenRule(nested: NestedVcpu, stage: Stage): EntryCheck | undefined {
  const { vcpu, vmcs12, context } = nested;
  context.longModeActive = vcpu.longMode;
  context.currentVmcs = vmcs12.pointer;
  return firstFailure(stage, vmcs12, context, vmcs12.state.groups);
}

function switchToL2(nested: NestedVcpu): void {
  const { vcpu, vmcs12, vmcs02, context, state } = nested;
  const efer = eferOfL2(vmcs12, vcpu.efer);
  const { cr0 } = vcpu;
  nested.compose();
  vmcs02.write();
  vcpu.state.level = 2;
  setEferOfL2(vcpu, efer);
  const list = addressAt(vmcs12, VM_ENTRY_MSR_LOAD_ADDR);
  const failed = loadEntryList(vcpu, list, vmcs12.low(VM_ENTRY_MSR_LOAD_COUNT), context.facts.eferSupported);
  if (failed !== 0) {
    report(nested, failedLoadRule(vcpu, list + (failed - 1) * MSR_ENTRY_SIZE), failed, failed);
    return failEntryAfterLoading(nested, EXIT_REASON.MSR_LOAD_FAIL, failed, cr0);
  }
  vmcs12.launchState = LAUNCH_STATE.launched;
  vmcs12.entered();
  state.completedForL2 = 0;
  startTimer(nested);
  lendBranchSteps(nested);
  // An event that was under way in L1 is none of L2's: instructions that exit do so before any event.
  vcpu.state.vectoring = 0;
  traceEntry(nested);
}

/** `err`: VM-instruction error or exit qualification; `msr`: which entry of the MSR-load list failed, from 1. */
function report(nested: NestedVcpu, rule: EntryRule, err: number, msr = 0): void {
  const { vcpu, host } = nested;
  const { recorder, time } = host;
  nested.recording.failed(nested, rule, msr);
  if (recorder.tracing)
    recorder.event('kvm_nested_vmenter_failed', 0, vcpu.index, time.nanoseconds(), {
      msg: `${rule.id}: ${rule.sentence}`,
      err,
    });
}

function traceEntry({ vcpu, vmcs12, host, ept12 }: NestedVcpu): void {
  const { recorder, time } = host;
  if (!recorder.tracing) return;
  const wide = (offset: number): bigint => (BigInt(vmcs12.high(offset)) << 32n) | BigInt(vmcs12.low(offset));
  const injected = vmcs12.low(VM_ENTRY_INTR_INFO_FIELD);
  recorder.event('kvm_nested_vmenter', 0, vcpu.index, time.nanoseconds(), {
    ...{ rip: wide(OFFSET.HOST_RIP), vmcs: vmcs12.pointer, nested_rip: wide(OFFSET.GUEST_RIP), int_ctl: 0 },
    ...{
      event_inj: injected & VALID ? injected : 0,
      tdp_enabled: ept12,
      guest_pgd: wide(ept12 ? EPT_POINTER : GUEST_CR3),
    },
  });
}
