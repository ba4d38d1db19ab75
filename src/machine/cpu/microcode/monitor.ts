// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { MONITOR_LINE_BYTES } from '../monitor-state.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, STATE } from '../state.ts';
import { segmentLinear } from './effective-address.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const IA32_MISC_ENABLE = 0x1a0;
const ENABLE_MONITOR = 1n << 18n;
const HALTED = 1;
const now = new Uint8Array(MONITOR_LINE_BYTES);

/** IA32_MISC_ENABLE[18]. */
export function monitorEnabled(cpu: Processor): boolean {
  return (cpu.environment.msrs.get(IA32_MISC_ENABLE) & ENABLE_MONITOR) !== 0n;
}

function usable(cpu: Processor): boolean {
  return cpu.cpl === 0 && monitorEnabled(cpu);
}

function addressInRax(cpu: Processor, addressSize: number): number {
  if (addressSize === 64) return cpu.getSigned(RAX * 8);
  return addressSize === 32 ? cpu.reg32(RAX) : cpu.reg16(RAX);
}

function monitor(cpu: Processor, instruction: Instruction): number {
  if (!usable(cpu)) return cpu.undefinedOpcode();
  if (intercepted(cpu, instruction, 'MONITOR')) return INTERCEPTED;
  if (cpu.reg32(RCX) !== 0) return cpu.generalProtection();
  const linear = segmentLinear(cpu, instruction.memory.segment, addressInRax(cpu, instruction.addressSize), 1, false);
  if (cpu.faulted) return STATUS.fault;
  const host = cpu.mmu.reach(linear, false, cpu.dataClass);
  if (cpu.faulted) return STATUS.fault;
  const state = cpu.environment.monitor;
  state.waiting = false;
  // Device memory cannot be watched: MWAIT then does not wait.
  state.address = host === -1 ? -1 : cpu.memory.physical(host - (host % MONITOR_LINE_BYTES));
  if (state.address !== -1) cpu.memory.read(state.address, state.line);
  return STATUS.next;
}

/** Whether the armed line was written since. */
function written(cpu: Processor): boolean {
  const { address, line } = cpu.environment.monitor;
  cpu.memory.read(address, now);
  return line.some((byte, i) => byte !== now[i]);
}

function maskedInterruptBreaks(cpu: Processor): boolean {
  return cpu.environment.monitor.breakOnMasked && cpu.environment.localApic.interruptPending();
}

/**
 * For a halted processor: whether it sleeps in MWAIT and goes on without taking an interrupt, because its line was
 * written or a masked interrupt is to end the sleep. Changes nothing.
 */
export function mwaitEnds(cpu: Processor): boolean {
  return cpu.environment.monitor.waiting && (written(cpu) || maskedInterruptBreaks(cpu));
}

/** Sleeps as HLT does, until an interrupt or a write to the line. A line serves once. */
function mwait(cpu: Processor, instruction: Instruction): number {
  if (!usable(cpu)) return cpu.undefinedOpcode();
  const state = cpu.environment.monitor;
  const armed = state.address !== -1 && !state.waiting;
  if (intercepted(cpu, instruction, 'MWAIT', { value: armed ? 1n : 0n })) return INTERCEPTED;
  const extensions = cpu.reg32(RCX);
  if (extensions > 1) return cpu.generalProtection();
  state.breakOnMasked = extensions === 1;
  state.waiting = armed && !written(cpu) && !maskedInterruptBreaks(cpu);
  if (!state.waiting) {
    state.address = -1;
    return STATUS.next;
  }
  cpu.words[STATE.activity >> 2] = HALTED;
  return STATUS.exit;
}

export const MONITOR_MICROCODE: MicrocodeRoutines = { MONITOR: monitor, MWAIT: mwait };
