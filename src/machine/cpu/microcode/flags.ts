// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, STATE } from '../state.ts';

const BREAKPOINTS_ENABLED = 0xff;

/**
 * After RFLAGS were loaded whole: asks the run loop to look where IF or TF now want it. RF matters only while
 * instruction breakpoints are enabled, and is dropped otherwise: nothing would clear it after the next instruction.
 */
export function attendToFlags(cpu: Processor, before: number): void {
  const { words } = cpu;
  const flags = words[STATE.flagsOther >> 2];
  if (flags & RFLAGS.IF & ~before && words[STATE.noEventWaits >> 2] === 0)
    words[STATE.attention >> 2] |= ATTENTION.interrupt;
  if (flags & RFLAGS.TF) words[STATE.attention >> 2] |= ATTENTION.debug;
  if ((flags & RFLAGS.RF) === 0) return;
  if (words[STATE.dr7 >> 2] & BREAKPOINTS_ENABLED) words[STATE.attention >> 2] |= ATTENTION.debug;
  else words[STATE.flagsOther >> 2] = flags & ~RFLAGS.RF;
}

/** What POPF and IRET may change: the arithmetic flags, TF, DF and NT always ... */
const ALWAYS = 0x8d5 | RFLAGS.TF | RFLAGS.DF | RFLAGS.NT;
/** ... and these with an operand size of 32 or 64. */
const WIDE = RFLAGS.AC | RFLAGS.ID;

/** The bits that may be changed at the current privilege level and IOPL. See: SDM Table 4-21 Effect of POPF/POPFD on the EFLAGS Register. */
export function changeableFlags(cpu: Processor, operandSize: number): number {
  let mask = operandSize === 16 ? ALWAYS : ALWAYS | WIDE;
  const flags = cpu.words[STATE.flagsOther >> 2];
  const { cpl } = cpu;
  if (cpl <= ((flags >> 12) & 3)) mask |= RFLAGS.IF;
  if (cpl === 0) mask |= RFLAGS.IOPL;
  return mask;
}

/** Sets or clears ZF, leaving the other arithmetic flags. */
export function setZero(cpu: Processor, zero: boolean): void {
  const flags = cpu.arithmeticFlags & ~RFLAGS.ZF;
  cpu.arithmeticFlags = zero ? flags | RFLAGS.ZF : flags;
}
