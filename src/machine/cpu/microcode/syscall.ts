// SPDX-License-Identifier: Apache-2.0
import { FLAT, SYSRET_FLAGS } from '../flat-segments.ts';
import { STATUS } from '../interpreter/record.ts';
import { EFER, RFLAGS } from '../register-bits.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import type { Processor } from '../processor.ts';
import { CS, GS, RCX, RDX, RSP, SEGMENT, SS, STATE, segmentOffset } from '../state.ts';
import { canonical } from './effective-address.ts';
import { attendToFlags } from './flags.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const R11 = 11;

function enterFlat(
  cpu: Processor,
  cpl: number,
  code: number,
  codeRights: number,
  stack: number,
  stackRights: number,
): void {
  cpu.words[STATE.cpl >> 2] = cpl;
  cpu.setSegment(CS, code, 0, 0xffffffff, codeRights);
  cpu.setSegment(SS, stack, 0, 0xffffffff, stackRights);
  cpu.modeChanged();
}

/** Bits 63:32 of IA32_STAR: SYSCALL's selectors in the low half, SYSRET's in the high one. */
function starSelectors(cpu: Processor): number {
  return cpu.get32(STATE.star + 4);
}

/** See: SDM 5.8.8 Fast System Calls in 64-Bit Mode. */
function syscall(cpu: Processor): number {
  if (!(cpu.efer & EFER.SCE)) return cpu.undefinedOpcode();
  const { words } = cpu;
  const flags = cpu.rflags;
  words[RCX * 2] = words[STATE.rip >> 2];
  words[RCX * 2 + 1] = words[(STATE.rip >> 2) + 1];
  cpu.setReg32(R11, flags & ~RFLAGS.RF);
  words[STATE.rip >> 2] = words[STATE.lstar >> 2];
  words[(STATE.rip >> 2) + 1] = words[(STATE.lstar >> 2) + 1];
  cpu.rflags = flags & ~(words[STATE.fmask >> 2] | RFLAGS.RF);
  const selector = starSelectors(cpu) & 0xfffc;
  enterFlat(cpu, 0, selector, FLAT.code64, selector + 8, FLAT.data);
  return STATUS.next;
}

function sysret(cpu: Processor, instruction: Instruction): number {
  if (!(cpu.efer & EFER.SCE)) return cpu.undefinedOpcode();
  if (cpu.cpl !== 0) return cpu.generalProtection();
  const wide = instruction.operandSize === 64;
  const target = wide ? cpu.getSigned(RCX * 8) : cpu.reg32(RCX);
  if (!canonical(target)) return cpu.generalProtection();
  const before = cpu.rflags;
  cpu.rip = target;
  cpu.rflags = cpu.words[R11 * 2] & SYSRET_FLAGS;
  const base = starSelectors(cpu) >>> 16;
  enterFlat(
    cpu,
    3,
    (base + (wide ? 16 : 0)) | 3,
    wide ? FLAT.userCode64 : FLAT.userCode32,
    (base + 8) | 3,
    FLAT.userData,
  );
  attendToFlags(cpu, before);
  return STATUS.next;
}

/** See: SDM 5.8.7 Performing Fast Calls to System Procedures with the SYSENTER and SYSEXIT Instructions. */
function sysenter(cpu: Processor): number {
  const base = cpu.get32(STATE.sysenterCs) & 0xfffc;
  if (cpu.realMode || base === 0) return cpu.generalProtection();
  const { words } = cpu;
  const long = cpu.longMode;
  words[STATE.flagsOther >> 2] &= ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF);
  words[RSP * 2] = words[STATE.sysenterEsp >> 2];
  words[RSP * 2 + 1] = long ? words[(STATE.sysenterEsp >> 2) + 1] : 0;
  words[STATE.rip >> 2] = words[STATE.sysenterEip >> 2];
  words[(STATE.rip >> 2) + 1] = long ? words[(STATE.sysenterEip >> 2) + 1] : 0;
  enterFlat(cpu, 0, base, long ? FLAT.code64 : FLAT.code32, base + 8, FLAT.data);
  return STATUS.next;
}

function sysexit(cpu: Processor, instruction: Instruction): number {
  const base = cpu.get32(STATE.sysenterCs) & 0xfffc;
  if (cpu.realMode || cpu.cpl !== 0 || base === 0) return cpu.generalProtection();
  const wide = instruction.operandSize === 64;
  const target = wide ? cpu.getSigned(RDX * 8) : cpu.reg32(RDX);
  const stack = wide ? cpu.getSigned(RCX * 8) : cpu.reg32(RCX);
  if (!canonical(target) || !canonical(stack)) return cpu.generalProtection();
  cpu.rip = target;
  cpu.setSigned(RSP * 8, stack);
  const code = base + (wide ? 32 : 16);
  enterFlat(cpu, 3, code | 3, wide ? FLAT.userCode64 : FLAT.userCode32, (code + 8) | 3, FLAT.userData);
  return STATUS.next;
}

function swapgs(cpu: Processor): number {
  if (cpu.cpl !== 0) return cpu.generalProtection();
  const { words } = cpu;
  const base = (segmentOffset(GS) + SEGMENT.base) >> 2;
  const kernel = STATE.kernelGsBase >> 2;
  const low = words[base];
  const high = words[base + 1];
  words[base] = words[kernel];
  words[base + 1] = words[kernel + 1];
  words[kernel] = low;
  words[kernel + 1] = high;
  return STATUS.next;
}

export const SYSCALL_MICROCODE: MicrocodeRoutines = {
  SYSCALL: syscall,
  SYSRET: sysret,
  SYSENTER: sysenter,
  SYSEXIT: sysexit,
  SWAPGS: swapgs,
};
