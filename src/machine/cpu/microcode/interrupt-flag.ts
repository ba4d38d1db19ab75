// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import { CR4, RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, STATE } from '../state.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const BLOCKING_BY_STI = 1;

/** Which flag CLI and STI may change, or 0 for #GP. See: SDM Table 3-7 Decision Table for CLI Results. */
function flagToChange(cpu: Processor): number {
  if (cpu.realMode) return RFLAGS.IF;
  const iopl = (cpu.words[STATE.flagsOther >> 2] >> 12) & 3;
  if (cpu.virtual8086) return iopl === 3 ? RFLAGS.IF : cpu.cr4 & CR4.VME ? RFLAGS.VIF : 0;
  if (cpu.cpl <= iopl) return RFLAGS.IF;
  return cpu.cpl === 3 && cpu.cr4 & CR4.PVI ? RFLAGS.VIF : 0;
}

function clearInterruptFlag(cpu: Processor): number {
  const flag = flagToChange(cpu);
  if (flag === 0) return cpu.generalProtection();
  cpu.words[STATE.flagsOther >> 2] &= ~flag;
  return STATUS.next;
}

/** Interrupts stay blocked for one more instruction when IF was clear. */
function setInterruptFlag(cpu: Processor): number {
  const flag = flagToChange(cpu);
  const { words } = cpu;
  const flags = words[STATE.flagsOther >> 2];
  if (flag === 0 || (flag === RFLAGS.VIF && flags & RFLAGS.VIP)) return cpu.generalProtection();
  words[STATE.flagsOther >> 2] = flags | flag;
  if (flag !== RFLAGS.IF || flags & RFLAGS.IF) return STATUS.next;
  words[STATE.interruptibility >> 2] |= BLOCKING_BY_STI;
  words[STATE.attention >> 2] |= ATTENTION.shadow | (words[STATE.noEventWaits >> 2] === 0 ? ATTENTION.interrupt : 0);
  return STATUS.next;
}

/** CLAC and STAC: RFLAGS.AC as SMAP looks at it. */
function setAccess(set: boolean) {
  return (cpu: Processor): number => {
    if (cpu.cpl !== 0) return cpu.undefinedOpcode();
    if (set) cpu.words[STATE.flagsOther >> 2] |= RFLAGS.AC;
    else cpu.words[STATE.flagsOther >> 2] &= ~RFLAGS.AC;
    cpu.mmu.contextChanged();
    return STATUS.next;
  };
}

export const INTERRUPT_FLAG_MICROCODE: MicrocodeRoutines = {
  CLI: clearInterruptFlag,
  STI: setInterruptFlag,
  CLAC: setAccess(false),
  STAC: setAccess(true),
};
