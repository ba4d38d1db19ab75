// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, STATE } from '../state.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** See: SDM 18.2 Debug Registers: what is writable, and what reads as 1. */
const DR6 = { writable: 0xe00fn, fixed: 0xffff0ff0n, BD: 0x2000 } as const;
const DR7 = { writable: 0xffff23ffn, fixed: 0x400n, GD: 0x2000, enables: 0xff } as const;

/** The register really meant (DR4 and DR5 are DR6 and DR7), or -1 after recording a fault. */
function registerOf(cpu: Processor, number: number): number {
  const aliased = number === 4 || number === 5;
  if (aliased && cpu.cr4 & CR4.DE) {
    cpu.undefinedOpcode();
    return -1;
  }
  return aliased ? number + 2 : number;
}

/** DR7.GD: every access is a debug exception. */
function guarded(cpu: Processor): boolean {
  if ((cpu.words[STATE.dr7 >> 2] & DR7.GD) === 0) return false;
  cpu.debugFault(DR6.BD);
  return true;
}

function offsetOf(number: number): number {
  return number === 7 ? STATE.dr7 : number === 6 ? STATE.dr6 : STATE.dr0 + 8 * number;
}

function moveTo(cpu: Processor, instruction: Instruction): number {
  const number = registerOf(cpu, instruction.operands[0].register);
  if (number < 0) return STATUS.fault;
  const { register, size } = instruction.operands[1];
  const value = size === 64 ? cpu.reg64(register) : BigInt(cpu.reg32(register));
  if (intercepted(cpu, instruction, 'MOV DR', { number, register, write: true, value })) return INTERCEPTED;
  if (guarded(cpu)) return STATUS.fault;
  if (number >= 6 && value >> 32n !== 0n) return cpu.generalProtection();
  if (number === 6) cpu.set64(STATE.dr6, (value & DR6.writable) | DR6.fixed);
  else if (number === 7) setDr7(cpu, value);
  else cpu.set64(offsetOf(number), value);
  return STATUS.next;
}

/** Writes DR7 and asks the run loop to look at breakpoints, the MMU to note accesses. */
function setDr7(cpu: Processor, value: bigint): void {
  cpu.set64(STATE.dr7, (value & DR7.writable) | DR7.fixed);
  if (Number(value) & DR7.enables) cpu.words[STATE.attention >> 2] |= ATTENTION.debug;
  cpu.mmu.contextChanged();
}

function moveFrom(cpu: Processor, instruction: Instruction): number {
  const number = registerOf(cpu, instruction.operands[1].register);
  if (number < 0) return STATUS.fault;
  const { register, size } = instruction.operands[0];
  if (intercepted(cpu, instruction, 'MOV DR', { number, register, write: false })) return INTERCEPTED;
  if (guarded(cpu)) return STATUS.fault;
  const value = cpu.get64(offsetOf(number));
  cpu.setReg64(register, size === 64 ? value : value & 0xffffffffn);
  return STATUS.next;
}

export const DEBUG_REGISTER_MICROCODE: MicrocodeRoutines = { 'MOV Dy Ry': moveTo, 'MOV Ry Dy': moveFrom };
