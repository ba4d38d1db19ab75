// SPDX-License-Identifier: Apache-2.0
// Events that are VM exits instead of being delivered. See: SDM 26.2 Other Causes of VM Exits, 26.4.2 Treatment of Task Switches

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { TASK_SWITCH } from '../../arch/vmx/qualifications.ts';
import { compose } from '../../arch/vmx/bit-field.ts';
import { RECORD } from '../cpu/interpreter/record.ts';
import { VECTOR, isSoftware } from '../cpu/microcode/exceptions.ts';
import type { Event } from '../cpu/microcode/exceptions.ts';
import { eventHooks } from '../cpu/microcode/interrupt-delivery.ts';
import { pushedFlags } from '../cpu/microcode/pushed-flags.ts';
import type { TaskSwitchReason } from '../cpu/microcode/task-switch.ts';
import { RFLAGS } from '../cpu/processor.ts';
import { STATE } from '../cpu/state.ts';
import type { VmxUnit } from './vmx-unit.ts';

const NMI_UNBLOCKING = 1 << 12;
/** DR6.BD. */
const DEBUG_REGISTER_ACCESS = 0x2000;
/** Debug-exception qualification: B0 to B3, BD, BS. */
const DEBUG_CONDITIONS = 0x600f;

/** Whether an exception that has come up is to be delivered or makes a VM exit; then the exit has been made. */
export function interceptEvent(unit: VmxUnit, event: Event, during: Event | undefined): boolean {
  if (!unit.nonRoot) return false;
  if (unit.exempt) {
    unit.exempt = false;
    return false;
  }
  if (event.kind === 'software' || event.kind === 'external' || event.kind === 'nmi' || !exits(unit, event)) {
    unit.iretDone();
    // Debug exceptions that a MOV SS held back do not outlast a fault.
    if (event.kind === 'fault') unit.state.pendingDebugExceptions = 0;
    return false;
  }
  describe(unit, event, during);
  if (counted(event, during)) unit.makeExit();
  else unit.makeUncountedExit();
  return true;
}

/** See: SDM 25.6.3 Exception Bitmap */
function exits(unit: VmxUnit, event: Event): boolean {
  const { controls } = unit;
  const bit = (controls.exceptionBitmap >>> event.vector) & 1;
  if (event.vector !== VECTOR.PF) return bit !== 0;
  const matches = (event.errorCode & controls.pageFaultMask) >>> 0 === controls.pageFaultMatch;
  return matches === (bit !== 0);
}

function describe(unit: VmxUnit, event: Event, during: Event | undefined): void {
  const { cpu } = unit;
  const exit = unit.exit.begin(EXIT_REASON.EXCEPTION_NMI).interruptedBy(event);
  if (event.vector === VECTOR.PF && event.linear !== undefined) exit.qualify(event.linear.low, event.linear.high);
  if (event.vector === VECTOR.DB) exit.qualify((event.debugStatus ?? 0) & DEBUG_CONDITIONS);
  exit.resumeFlag = pushedFlags(cpu, event) & RFLAGS.RF;
  if (during !== undefined) exit.delivering(during);
  else if (event.kind === 'fault' && event.vector !== VECTOR.DF && unit.takeNmiUnblocked())
    exit.interruption |= NMI_UNBLOCKING;
  exit.interruption >>>= 0;
  if (event.kind !== 'softwareException' && event.kind !== 'privilegedSoftware') return;
  exit.instructionLength = event.instructionLength ?? 0;
  rewind(unit, exit.instructionLength);
}

function rewind(unit: VmxUnit, length: number): void {
  const { cpu } = unit;
  cpu.rip = cpu.code64 ? cpu.rip - length : (cpu.rip - length) >>> 0;
}

/**
 * Whether an exit takes back a count of the engine's: of the instruction that made `event` come up, or whose fault `during`
 * was. Of debug exceptions this is only the access to a debug register, and only where the exit says so: the owner counts
 * by what it reads there. See: `countsInstruction` of l0/nested/clock.ts
 */
export function counted(event: Event | undefined, during: Event | undefined): boolean {
  const cause = during ?? event;
  if (cause === undefined) return true;
  if (cause.kind === 'external' || cause.kind === 'nmi' || cause.kind === 'trap') return false;
  if (cause.kind !== 'fault' || cause.vector !== VECTOR.DB) return true;
  return during === undefined && ((cause.debugStatus ?? 0) & DEBUG_REGISTER_ACCESS) !== 0;
}

const SOURCE: { readonly [Reason in TaskSwitchReason]: number } = { call: 0, iret: 1, jump: 2, interrupt: 3 };

/** The access path sees a fault; the exit is made when it is raised, with RIP at the instruction. */
export function interceptTaskSwitch(unit: VmxUnit, selector: number, reason: TaskSwitchReason): boolean {
  if (!unit.nonRoot) return false;
  const { cpu } = unit;
  const exit = unit.exit
    .begin(EXIT_REASON.TASK_SWITCH)
    .qualify(compose(TASK_SWITCH, { SELECTOR: selector, SOURCE: SOURCE[reason] }));
  const during = eventHooks(cpu).deliveringEvent;
  exit.resumeFlag = during === undefined ? 0 : pushedFlags(cpu, during) & RFLAGS.RF;
  if (during === undefined) exit.instructionLength = recordLength(unit);
  else if (isSoftware(during)) exit.instructionLength = during.instructionLength ?? 0;
  return true;
}

function recordLength(unit: VmxUnit): number {
  const { words, memory } = unit.cpu;
  const record = words[STATE.record >> 2];
  return memory.i32[(record + RECORD.nextOffset) >> 2] - memory.i32[(record + RECORD.ripOffset) >> 2];
}

/** In place of shutdown. See: SDM 26.2 Other Causes of VM Exits (Triple fault) */
export function tripleFault(unit: VmxUnit): void {
  unit.exit.begin(EXIT_REASON.TRIPLE_FAULT);
  unit.makeExit();
}
