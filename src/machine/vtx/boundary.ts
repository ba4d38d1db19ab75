// SPDX-License-Identifier: Apache-2.0
// Between two instructions of a guest: what comes first, an exit or an event. The order is that of
// See: SDM 6.9 Priority Among Concurrent Events, 26.2 Other Causes of VM Exits, 26.5 Features Specific to VMX Non-Root Operation

import { EXIT, PIN, PRIMARY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { SIPI } from '../../arch/vmx/qualifications.ts';
import { compose } from '../../arch/vmx/bit-field.ts';
import { VECTOR } from '../cpu/microcode/exceptions.ts';
import type { Event } from '../cpu/microcode/exceptions.ts';
import { RFLAGS } from '../cpu/processor.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import { BLOCKING } from './exit.ts';
import type { EventPorts, NmiOutcome } from './hooks.ts';
import { tprBelowThreshold, readVtpr, writeVtpr } from './tpr-shadow.ts';
import { MTF, PENDING, pendingOf } from './vmx-state.ts';
import type { VmxUnit } from './vmx-unit.ts';

const NMI: Event = { vector: VECTOR.NMI, kind: 'nmi', errorCode: -1 };

/** One thing that can come before the next instruction. */
interface Check {
  /** Whether it is due now. */
  readonly due: (unit: VmxUnit, events: EventPorts) => boolean;
  readonly act: (unit: VmxUnit, events: EventPorts) => void;
}

/**
 * From the highest priority to the lowest. Shutdown holds back MTF exits and interrupts, wait-for-SIPI all but start-up IPIs.
 * See: SDM 27.7.2 Activity State, 27.7.7 VM Exits Induced by the TPR Threshold
 */
// prettier-ignore
const CHECKS: readonly Check[] = [
  { due: (unit) => unit.state.tprBelowThreshold,             act: exitWith(EXIT_REASON.TPR_BELOW_THRESHOLD) },
  { due: (unit, events) => events.pendingInit && activity(unit) !== ACTIVITY.waitForSipi, act: initSignal },
  { due: (unit, events) => events.pendingStartup >= 0 && activity(unit) === ACTIVITY.waitForSipi, act: startupSignal },
  { due: (unit) => unit.state.kickedAtOnce,                  act: kicked },
  { due: (unit) => unit.state.monitorTrap === MTF.now && activity(unit) <= ACTIVITY.halted, act: exitWith(EXIT_REASON.MONITOR_TRAP_FLAG) },
  { due: debugExceptionDue,                                  act: deliverDebugException },
  { due: nothingToDeliver,                                   act: forgetDebugExceptions },
  { due: preemptionDue,                                      act: exitWith(EXIT_REASON.PREEMPTION_TIMER) },
  { due: nmiWindowDue,                                       act: exitWith(EXIT_REASON.NMI_WINDOW) },
  { due: (unit, events) => events.pendingNmi && nmiOutcome(unit) !== 'blocked', act: takeNmi },
  { due: (unit) => unit.controls.has(PRIMARY.INTERRUPT_WINDOW_EXITING) && interruptsOpen(unit), act: exitWith(EXIT_REASON.INTERRUPT_WINDOW) },
  { due: kickDue,                                            act: kicked },
  { due: interruptDue,                                       act: takeInterrupt },
];

/** See `VmxRunHooks.beforeInstruction`. */
export function beforeInstruction(unit: VmxUnit, events: EventPorts): boolean {
  if (!unit.nonRoot) return unit.owner?.wake() ?? false;
  finishTprWrite(unit);
  for (const check of CHECKS) {
    if (!check.due(unit, events)) continue;
    check.act(unit, events);
    return true;
  }
  if (unit.state.monitorTrap === MTF.afterNext) unit.state.monitorTrap = MTF.now;
  return false;
}

/** See `VmxRunHooks.wakes`. The monitor trap flag is not looked at: it would be set by the instruction that halted. */
export function wakes(unit: VmxUnit, events: EventPorts): boolean {
  if (!unit.nonRoot) return unit.state.kicked;
  return CHECKS.some((check) => check.due(unit, events));
}

/** See `VmxRunHooks.waits`. */
export function waits(unit: VmxUnit): boolean {
  return unit.state.kicked || unit.controls.has(PRIMARY.INTERRUPT_WINDOW_EXITING);
}

/** Whether each instruction must be run by itself. The interrupt window needs it not: whatever opens it asks for attention. */
export function wantsAttention(unit: VmxUnit): boolean {
  const { state, controls } = unit;
  return (
    state.monitorTrap !== MTF.none || state.pendingDebugExceptions !== 0 || controls.has(PRIMARY.NMI_WINDOW_EXITING)
  );
}

function exitWith(reason: number): (unit: VmxUnit) => void {
  return (unit) => {
    unit.exit.begin(reason);
    unit.makeUncountedExit();
  };
}

const blocks = (unit: VmxUnit, mask: number): boolean => (unit.cpu.words[STATE.interruptibility >> 2] & mask) !== 0;
const activity = (unit: VmxUnit): number => unit.cpu.words[STATE.activity >> 2];

function initSignal(unit: VmxUnit, events: EventPorts): void {
  events.pendingInit = false;
  exitWith(EXIT_REASON.INIT_SIGNAL)(unit);
}

function debugExceptionDue(unit: VmxUnit): boolean {
  const pending = unit.state.pendingDebugExceptions;
  return (
    (pending & (PENDING.enabled | PENDING.singleStep)) !== 0 &&
    !blocks(unit, BLOCKING.movSs) &&
    activity(unit) <= ACTIVITY.halted
  );
}

/**
 * Breakpoints that were met, but are not enabled: where a debug exception would be delivered they go without one.
 * See: SDM 27.7.3 Delivery of Pending Debug Exceptions after VM Entry
 */
function nothingToDeliver(unit: VmxUnit): boolean {
  return unit.state.pendingDebugExceptions !== 0 && !blocks(unit, BLOCKING.movSs) && activity(unit) === ACTIVITY.active;
}

function forgetDebugExceptions(unit: VmxUnit): void {
  unit.state.pendingDebugExceptions = 0;
}

/** See `VmxRunHooks.pendDebugException`. */
export function pendDebugException(unit: VmxUnit, debugStatus: number): void {
  unit.state.pendingDebugExceptions |= pendingOf(debugStatus);
  unit.cpu.words[STATE.attention >> 2] |= ATTENTION.vmx;
}

function deliverDebugException(unit: VmxUnit, events: EventPorts): void {
  const { state } = unit;
  const debugStatus = state.pendingDebugExceptions & (PENDING.breakpoints | PENDING.singleStep);
  state.pendingDebugExceptions = 0;
  deliver(unit, events, { vector: VECTOR.DB, kind: 'trap', errorCode: -1, debugStatus });
}

/** An event counts as what follows the entry for the monitor trap flag. */
function deliver(unit: VmxUnit, events: EventPorts, event: Event): void {
  if (unit.state.monitorTrap === MTF.afterNext) unit.state.monitorTrap = MTF.now;
  if (unit.state.monitorTrap !== MTF.none) unit.cpu.words[STATE.attention >> 2] |= ATTENTION.vmx;
  events.deliverEvent(event);
}

/** It counts in every state but wait-for-SIPI. */
function preemptionDue(unit: VmxUnit): boolean {
  return unit.cpu.ticks >= unit.state.preemptionDeadline && activity(unit) !== ACTIVITY.waitForSipi;
}

function nmiWindowDue(unit: VmxUnit): boolean {
  if (!unit.controls.has(PRIMARY.NMI_WINDOW_EXITING) || activity(unit) === ACTIVITY.waitForSipi) return false;
  return !blocks(unit, BLOCKING.nmi | BLOCKING.movSs | BLOCKING.sti);
}

/** With "virtual NMIs" the blocking bit is about virtual NMIs only. */
export function nmiOutcome(unit: VmxUnit): NmiOutcome {
  const { controls } = unit;
  const mask = controls.virtualNmis ? BLOCKING.movSs | BLOCKING.sti : BLOCKING.movSs | BLOCKING.sti | BLOCKING.nmi;
  if (blocks(unit, mask) || activity(unit) === ACTIVITY.waitForSipi) return 'blocked';
  return controls.hasPin(PIN.NMI_EXITING) ? 'exit' : 'deliver';
}

function takeNmi(unit: VmxUnit, events: EventPorts): void {
  events.pendingNmi = false;
  if (nmiOutcome(unit) === 'deliver') return deliver(unit, events, NMI);
  unit.exit.begin(EXIT_REASON.EXCEPTION_NMI).interruptedBy(NMI);
  unit.makeUncountedExit();
}

/** Interrupts come through: RFLAGS.IF, and no shadow. */
function interruptsOpen(unit: VmxUnit): boolean {
  if (activity(unit) > ACTIVITY.halted || blocks(unit, BLOCKING.sti | BLOCKING.movSs)) return false;
  return (unit.cpu.words[STATE.flagsOther >> 2] & RFLAGS.IF) !== 0;
}

/** With "external-interrupt exiting", RFLAGS.IF does not hold them back. */
function interruptDue(unit: VmxUnit, events: EventPorts): boolean {
  const exiting = unit.controls.hasPin(PIN.EXTERNAL_INTERRUPT_EXITING);
  const open = exiting
    ? activity(unit) <= ACTIVITY.halted && !blocks(unit, BLOCKING.sti | BLOCKING.movSs)
    : interruptsOpen(unit);
  return open && events.interruptWaits();
}

function takeInterrupt(unit: VmxUnit, events: EventPorts): void {
  const { controls } = unit;
  const event = (): Event => ({ vector: events.acknowledge(), kind: 'external', errorCode: -1 });
  if (!controls.hasPin(PIN.EXTERNAL_INTERRUPT_EXITING)) return deliver(unit, events, event());
  const exit = unit.exit.begin(EXIT_REASON.EXTERNAL_INTERRUPT);
  if (controls.onExit(EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT)) exit.interruptedBy(event());
  unit.makeUncountedExit();
}

/** For the owner: an external interrupt that has no vector, and that nothing but a shadow holds back. */
function kickDue(unit: VmxUnit): boolean {
  return unit.state.kicked && !blocks(unit, BLOCKING.sti | BLOCKING.movSs);
}

/** At once it comes as INIT does: debug exceptions that are pending stay so. */
function kicked(unit: VmxUnit): void {
  const { state } = unit;
  unit.exit.begin(EXIT_REASON.EXTERNAL_INTERRUPT).keepsPending = state.kickedAtOnce;
  state.kicked = state.kickedAtOnce = false;
  unit.makeUncountedExit();
}

/** A start-up IPI makes an exit in the wait-for-SIPI state; in all others it was dropped when it came. */
function startupSignal(unit: VmxUnit, events: EventPorts): void {
  const vector = events.pendingStartup;
  events.pendingStartup = -1;
  unit.exit.begin(EXIT_REASON.SIPI_SIGNAL).qualify(compose(SIPI, { VECTOR: vector }));
  unit.makeUncountedExit();
}

/** A store to TPR in the APIC-access page is done: only bits 7:0 of VTPR remain. */
function finishTprWrite(unit: VmxUnit): void {
  const { state } = unit;
  if (!state.tprWritten) return;
  state.tprWritten = false;
  writeVtpr(unit, readVtpr(unit));
  if (tprBelowThreshold(unit)) state.tprBelowThreshold = true;
}
