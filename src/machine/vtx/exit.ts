// SPDX-License-Identifier: Apache-2.0
// VM exits: from the moment the processor knows that it leaves the guest to the host's first instruction.
// See: SDM Chapter 28 VM Exits

import { forgetSti, timeChanged } from '../cpu/timing.ts';
import { EXIT } from '../../arch/vmx/controls.ts';
import { VMX_ABORT } from '../../arch/vmx/errors.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { PENDING_BS } from '../../arch/vmx/state-bits.ts';
import { INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { loadPdptes, paePaging } from '../cpu/microcode/pdpte.ts';
import { eventHooks } from '../cpu/microcode/interrupt-delivery.ts';
import { CR0 } from '../cpu/register-bits.ts';
import { RFLAGS } from '../cpu/processor.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import type { ExitInformation } from './exit-information.ts';
import { saveGuestRegisters, saveLongMode } from './guest-state.ts';
import { loadHostRegisters } from './host-state.ts';
import { processMsrList } from './msr-lists.ts';
import { savedPreemptionTimer } from './preemption-timer.ts';
import { MTF, pendingOf } from './vmx-state.ts';
import { forgetVpid0 } from './translations.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { GUEST_RFLAGS, GUEST_ACTIVITY_STATE, GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS } = OFFSET;
const { VM_ENTRY_INTR_INFO_FIELD, VMX_PREEMPTION_TIMER_VALUE, HOST_CR3 } = OFFSET;
const { VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT, VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT } = OFFSET;

export const BLOCKING = { sti: 1, movSs: 2, nmi: 8 } as const;
const ATTENTION_OF_GUEST = ATTENTION.debug | ATTENTION.shadow | ATTENTION.vmx;
const NMI_EXIT = 0x80000202;
/** Hardware exception, vector 8. */
const DOUBLE_FAULT = 0x308;
const DEBUGCTL_BTF = 2n;
const IA32_DEBUGCTL = 0x1d9;

/**
 * Makes the exit that `unit.exit` describes. `cpu.rip` is what is to be saved as the guest's RIP. Afterwards the
 * processor is in VMX root operation at the host's RIP, or its owner has dealt with it.
 */
export function makeExit(unit: VmxUnit): void {
  const { cpu, vmcs, controls, exit } = unit;
  exit.pending = false;
  cpu.faulted = false;
  cpu.trapSuppressed = true;
  eventHooks(cpu).deliveringEvent = undefined;
  unit.recording.exiting(unit);
  if (inDelivery(exit)) deliveryBegan(unit);
  saveGuest(unit);
  if ((cpu.words[STATE.cr0 >> 2] & CR0.PE) === 0) exit.leaveOutErrorCodes();
  exit.write(vmcs);
  vmcs.save(VM_ENTRY_INTR_INFO_FIELD, vmcs.low(VM_ENTRY_INTR_INFO_FIELD) & 0x7fffffff);
  unit.state.dirtyGroups |= vmcs.savedGroups;
  vmcs.savedGroups = 0;
  leaveNonRoot(unit);
  if (
    processMsrList(cpu, 'exitStore', addressAt(vmcs, VM_EXIT_MSR_STORE_ADDR), vmcs.low(VM_EXIT_MSR_STORE_COUNT)) !== 0
  )
    return abort(unit, VMX_ABORT.SAVING_GUEST_MSRS);
  const blocking =
    exit.reason === EXIT_REASON.EXCEPTION_NMI && (exit.interruption & 0x800007ff) >>> 0 === NMI_EXIT
      ? BLOCKING.nmi
      : realNmiBlocking(unit);
  cpu.words[STATE.interruptibility >> 2] = blocking;
  if (controls.vpid === 0) forgetVpid0(unit.cpu);
  unit.exits++;
  unit.recording.exited(unit, exit.reason);
  if (unit.owner !== undefined) return unit.owner.exited();
  loadHost(unit);
}

/** Double and triple faults come of a delivery, too, but do not name the event. */
function inDelivery({ vectoring, reason, interruption }: ExitInformation): boolean {
  if (vectoring !== 0 || reason === EXIT_REASON.TRIPLE_FAULT) return true;
  return reason === EXIT_REASON.EXCEPTION_NMI && (interruption & 0x700007ff) === DOUBLE_FAULT;
}

/**
 * An event that causes an exit only indirectly, in its delivery, has left its traces: NMIs are blocked by an NMI, no
 * instruction casts a shadow, and the processor is active. See: SDM 28.1 Architectural State Before a VM Exit
 */
function deliveryBegan({ cpu, exit }: VmxUnit): void {
  const blocking = cpu.words[STATE.interruptibility >> 2] & ~(BLOCKING.sti | BLOCKING.movSs);
  const isNmi = ((exit.vectoring >>> 8) & 7) === INTERRUPTION_TYPE.nmi;
  cpu.words[STATE.interruptibility >> 2] = isNmi ? blocking | BLOCKING.nmi : blocking;
  cpu.words[STATE.activity >> 2] = ACTIVITY.active;
}

/** With "virtual NMIs" the bit was the guest's, and NMIs themselves were not blocked. */
export function realNmiBlocking(unit: VmxUnit): number {
  return unit.controls.virtualNmis ? 0 : unit.cpu.words[STATE.interruptibility >> 2] & BLOCKING.nmi;
}

/** See: SDM 28.3 Saving Guest State */
function saveGuest(unit: VmxUnit): void {
  const { cpu, vmcs, controls, exit, state } = unit;
  saveGuestRegisters(cpu, vmcs, controls);
  if (exit.resumeFlag >= 0)
    vmcs.save(GUEST_RFLAGS, (cpu.rflags & ~RFLAGS.RF) | (exit.resumeFlag === 0 ? 0 : RFLAGS.RF));
  if (unit.exitStoresLma) saveLongMode(cpu, vmcs);
  vmcs.save(GUEST_ACTIVITY_STATE, cpu.words[STATE.activity >> 2]);
  vmcs.save(GUEST_INTERRUPTIBILITY_INFO, cpu.words[STATE.interruptibility >> 2]);
  vmcs.save(GUEST_PENDING_DBG_EXCEPTIONS, pendingDebugExceptions(unit));
  if (controls.onExit(EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE))
    vmcs.save(VMX_PREEMPTION_TIMER_VALUE, savedPreemptionTimer(state, cpu.ticks));
}

/** Reasons that leave pending debug exceptions pending. See: SDM 28.3.4 Saving Non-Register State */
const KEEPS_PENDING: ReadonlySet<number> = new Set([
  EXIT_REASON.INIT_SIGNAL,
  EXIT_REASON.MONITOR_TRAP_FLAG,
  EXIT_REASON.TPR_BELOW_THRESHOLD,
]);

function pendingDebugExceptions(unit: VmxUnit): number {
  const { cpu, exit, state } = unit;
  const { words } = cpu;
  const held =
    (words[STATE.interruptibility >> 2] & (BLOCKING.sti | BLOCKING.movSs)) !== 0 ||
    words[STATE.activity >> 2] === ACTIVITY.halted;
  const waiting = pendingOf(cpu.breakpoints.waiting);
  const pending =
    KEEPS_PENDING.has(exit.reason) || exit.keepsPending || held ? state.pendingDebugExceptions | waiting : 0;
  const steps =
    (words[STATE.flagsOther >> 2] & RFLAGS.TF) !== 0 && (cpu.environment.msrs.get(IA32_DEBUGCTL) & DEBUGCTL_BTF) === 0n;
  return held && steps ? pending | PENDING_BS : pending;
}

/** What ends with non-root operation, whatever comes after it. */
export function leaveNonRoot(unit: VmxUnit): void {
  const { cpu, state } = unit;
  cpu.words[STATE.nonRoot >> 2] = 0;
  forgetSti(cpu);
  cpu.passing = cpu.guestTscAhead = 0;
  timeChanged(cpu);
  state.nonRoot = false;
  state.monitorTrap = MTF.none;
  state.preemptionDeadline = Infinity;
  state.pendingDebugExceptions = 0;
  cpu.breakpoints.clear();
  state.tprBelowThreshold = false;
  unit.injecting = unit.exempt = false;
  cpu.environment.monitor.address = -1;
  cpu.environment.monitor.waiting = false;
  cpu.words[STATE.activity >> 2] = ACTIVITY.active;
  cpu.mmu.walker.secondLevel = undefined;
  cpu.mmu.guestKey = '';
}

/** The host state, the MSRs that go with it, and what follows from both. See: SDM 28.5 Loading Host State, 28.6 Loading MSRs */
export function loadHost(unit: VmxUnit): void {
  const { cpu, vmcs, controls } = unit;
  if (cpu.longMode && !controls.host64) return abort(unit, VMX_ABORT.HOST_NOT_IA32E_MODE);
  loadHostRegisters(cpu, vmcs, controls);
  if (paePaging(cpu.cr0, cpu.cr4, cpu.efer) && !loadPdptes(cpu, vmcs.low(HOST_CR3))) {
    cpu.faulted = false;
    return abort(unit, VMX_ABORT.HOST_PDPTE_CHECKS);
  }
  cpu.mmu.pagingChanged();
  cpu.modeChanged();
  if (processMsrList(cpu, 'exitLoad', addressAt(vmcs, VM_EXIT_MSR_LOAD_ADDR), vmcs.low(VM_EXIT_MSR_LOAD_COUNT)) !== 0)
    return abort(unit, VMX_ABORT.LOADING_HOST_MSRS);
  const { words } = cpu;
  words[STATE.attention >> 2] = (words[STATE.attention >> 2] & ~ATTENTION_OF_GUEST) | ATTENTION.interrupt;
}

/** The processor is in shutdown and stays there; NMIs and INIT do not wake it. See: SDM 28.7 VMX Aborts */
export function abort(unit: VmxUnit, indicator: number): void {
  unit.vmcs.abortIndicator = indicator;
  unit.state.aborted = true;
  unit.cpu.words[STATE.activity >> 2] = ACTIVITY.shutdown;
}
