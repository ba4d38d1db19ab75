// SPDX-License-Identifier: Apache-2.0
// VM entries, from the checks of the controls to the delivery of the injected event.
// See: SDM Chapter 27 VM Entries

import { timeChanged, watchPauseLoops } from '../cpu/timing.ts';
import { PIN, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { LAUNCH_STATE } from '../../arch/vmx/encoding.ts';
import { GROUPS_EVERY_ENTRY, firstFailure } from '../../arch/vmx/entry-checks.ts';
import { qualificationOf } from '../../arch/vmx/entry-check-row.ts';
import type { EntryCheck } from '../../arch/vmx/entry-check-row.ts';
import { MSR_ENTRY_SIZE } from '../../arch/vmx/msr-load-rules.ts';
import { EXIT_REASON, ENTRY_FAILURE_BIT } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { loadPdptes, paePaging, setPdptes } from '../cpu/microcode/pdpte.ts';
import { RFLAGS } from '../cpu/processor.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import { BLOCKING, leaveNonRoot, loadHost, realNmiBlocking } from './exit.ts';
import { loadGuestRegisters } from './guest-state.ts';
import { injectEvent } from './injection.ts';
import { passing } from './intercepts.ts';
import { failedLoadRule, processMsrList } from './msr-lists.ts';
import { preemptionDeadline } from './preemption-timer.ts';
import { tprBelowThreshold } from './tpr-shadow.ts';
import { forgetVpid0 } from './translations.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { VM_EXIT_REASON, EXIT_QUALIFICATION, VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT } = OFFSET;
const { GUEST_ACTIVITY_STATE, GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS } = OFFSET;
const { VMX_PREEMPTION_TIMER_VALUE, GUEST_PDPTR0, VMCS_LINK_POINTER } = OFFSET;

const BREAKPOINTS = 0xff;

/** The first rule that the controls or the host state break, or undefined: the entry may go on. */
export function refusedBefore(unit: VmxUnit): EntryCheck | undefined {
  const { vmcs, context, state, cpu } = unit;
  context.longModeActive = unit.owner !== undefined || cpu.longMode;
  context.currentVmcs = state.currentVmcs;
  return (
    firstFailure('controls', vmcs, context, state.dirtyGroups) ?? firstFailure('host', vmcs, context, state.dirtyGroups)
  );
}

/**
 * Enters the guest; the controls and the host state have been checked. Whatever goes wrong from here on is a VM exit,
 * made before this returns.
 */
export function enterGuest(unit: VmxUnit): void {
  const { vmcs, context, state, cpu } = unit;
  unit.entries++;
  unit.recording.entered(unit);
  cpu.trapSuppressed = true;
  const broken =
    firstFailure('guest', vmcs, context, state.dirtyGroups) ?? firstFailure('pdpte', vmcs, context, state.dirtyGroups);
  if (broken !== undefined) return failInvalidState(unit, broken);
  loadGuest(unit);
  const list = addressAt(vmcs, VM_ENTRY_MSR_LOAD_ADDR);
  const failed = processMsrList(cpu, 'entryLoad', list, vmcs.low(VM_ENTRY_MSR_LOAD_COUNT));
  if (failed !== 0) {
    unit.recording.failed(unit, failedLoadRule(cpu, list + (failed - 1) * MSR_ENTRY_SIZE), failed);
    // The guest's blocking had been loaded; as after an exit, none by STI or MOV SS is left.
    cpu.words[STATE.interruptibility >> 2] = realNmiBlocking(unit);
    return fail(unit, EXIT_REASON.MSR_LOAD_FAIL, failed);
  }
  vmcs.launchState = LAUNCH_STATE.launched;
  state.dirtyGroups = GROUPS_EVERY_ENTRY;
  startGuest(unit);
}

function failInvalidState(unit: VmxUnit, broken: EntryCheck): void {
  unit.recording.failed(unit, broken);
  fail(unit, EXIT_REASON.INVALID_STATE, qualificationOf(broken));
}

/** Only reason and qualification are written, and no MSR is stored. See: SDM 27.8 VM-Entry Failures During or After Loading Guest State */
function fail(unit: VmxUnit, reason: number, qualification: number): void {
  const { vmcs } = unit;
  vmcs.set(VM_EXIT_REASON, (reason | ENTRY_FAILURE_BIT) >>> 0);
  vmcs.write(EXIT_QUALIFICATION, qualification, 0);
  unit.controls.load(vmcs);
  leaveNonRoot(unit);
  if (unit.controls.vpid === 0) forgetVpid0(unit.cpu);
  unit.exits++;
  unit.recording.exited(unit, reason | ENTRY_FAILURE_BIT);
  if (unit.owner !== undefined) return unit.owner.exited();
  loadHost(unit);
}

/** Everything up to the MSRs. See: SDM 27.3 Checking and Loading Guest State */
function loadGuest(unit: VmxUnit): void {
  const { cpu, vmcs, controls, state } = unit;
  controls.load(vmcs);
  cpu.environment.monitor.address = -1;
  loadGuestRegisters(cpu, vmcs, controls);
  loadNonRegisterState(unit);
  if (controls.vpid === 0) forgetVpid0(unit.cpu);
  cpu.words[STATE.nonRoot >> 2] = 1;
  cpu.passing = passing(unit);
  cpu.guestTscAhead = controls.tscAhead;
  timeChanged(cpu);
  state.nonRoot = true;
  unit.shadowAddress = controls.has2(SECONDARY.VMCS_SHADOWING) ? addressAt(vmcs, VMCS_LINK_POINTER) : -1;
  unit.enterSecondDimension();
  loadPageDirectoryPointers(unit);
  cpu.mmu.pagingChanged();
  cpu.modeChanged();
}

const pdptes = new Int32Array(8);

/** PAE paging: with EPT from the VMCS, else from memory; both have been checked. */
function loadPageDirectoryPointers(unit: VmxUnit): void {
  const { cpu, vmcs, controls } = unit;
  if (!paePaging(cpu.cr0, cpu.cr4, cpu.efer)) return;
  if (!controls.ept) return void loadPdptes(cpu, cpu.words[STATE.cr3 >> 2]);
  for (let i = 0; i < 4; i++) {
    pdptes[2 * i] = vmcs.low(GUEST_PDPTR0 + 8 * i);
    pdptes[2 * i + 1] = vmcs.high(GUEST_PDPTR0 + 8 * i);
  }
  setPdptes(cpu, pdptes);
}

function loadNonRegisterState(unit: VmxUnit): void {
  const { cpu, vmcs, state } = unit;
  cpu.words[STATE.activity >> 2] = vmcs.low(GUEST_ACTIVITY_STATE);
  cpu.words[STATE.interruptibility >> 2] = vmcs.low(GUEST_INTERRUPTIBILITY_INFO);
  state.pendingDebugExceptions = vmcs.low(GUEST_PENDING_DBG_EXCEPTIONS);
}

/**
 * An entry that ends in shutdown or wait-for-SIPI leaves no debug exception pending, and makes no exit by the TPR threshold.
 * See: SDM 27.7.3 Delivery of Pending Debug Exceptions after VM Entry, 27.7.7 VM Exits Induced by the TPR Threshold
 */
function forgetWhatWaits({ state }: VmxUnit): void {
  state.pendingDebugExceptions = 0;
  state.tprBelowThreshold = false;
}

/** Timers, traps and windows that begin with the entry, and the injected event. See: SDM 27.6 Event Injection, 27.7 Special Features of VM Entry */
function startGuest(unit: VmxUnit): void {
  const { cpu, vmcs, controls, state } = unit;
  const { words } = cpu;
  if (controls.hasPin(PIN.ACTIVATE_VMX_PREEMPTION_TIMER))
    state.preemptionDeadline = preemptionDeadline(vmcs.low(VMX_PREEMPTION_TIMER_VALUE), cpu.ticks);
  state.tprBelowThreshold =
    controls.tprShadow && controls.has2(SECONDARY.VIRTUALIZE_APIC_ACCESSES) && tprBelowThreshold(unit);
  watchPauseLoops(cpu, controls.pauseLoopGap, controls.pauseLoopWindow);
  let attention = ATTENTION.interrupt;
  if (words[STATE.flagsOther >> 2] & RFLAGS.TF || words[STATE.dr7 >> 2] & BREAKPOINTS) attention |= ATTENTION.debug;
  if (words[STATE.interruptibility >> 2] & (BLOCKING.sti | BLOCKING.movSs)) attention |= ATTENTION.shadow;
  words[STATE.attention >> 2] |= attention;
  unit.armMonitorTrap(controls.has(PRIMARY.MONITOR_TRAP_FLAG));
  injectEvent(unit);
  if (!state.nonRoot) return;
  if (words[STATE.activity >> 2] > ACTIVITY.halted) forgetWhatWaits(unit);
  // RF holds back instruction breakpoints only; where there are none, nothing else would clear it.
  if ((words[STATE.dr7 >> 2] & BREAKPOINTS) === 0) words[STATE.flagsOther >> 2] &= ~RFLAGS.RF;
  words[STATE.attention >> 2] |= unit.attention();
}
