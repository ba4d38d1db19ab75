// SPDX-License-Identifier: Apache-2.0
import { forgetSti } from './timing.ts';
import type { Processor } from './processor.ts';
import { ACTIVITY } from './run-loop.ts';
import { CS, DS, ES, FS, GS, LDTR, RDX, SS, STATE, TR } from './state.ts';

const DATA_RIGHTS = 0x93;
const CODE_RIGHTS = 0x9b;
const LDT_RIGHTS = 0x82;
const TSS_RIGHTS = 0x8b;
const RESET_CR0 = 0x60000010;
const CACHE_BITS = 0x60000000;

/**
 * Registers after RESET or INIT. INIT keeps the cache bits of CR0, the MSRs, x87, SSE and the TSC.
 * See: SDM 10.1.1 Processor State After Reset (Table IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT).
 */
export function resetProcessor(cpu: Processor, kind: 'reset' | 'init', signature: number): void {
  const { words } = cpu;
  const cacheBits = words[STATE.cr0 >> 2] & CACHE_BITS;
  for (let i = 0; i < 32; i++) words[i] = 0;
  words[RDX * 2] = signature;
  for (const segment of [ES, SS, DS, FS, GS]) cpu.setSegment(segment, 0, 0, 0xffff, DATA_RIGHTS);
  cpu.setSegment(CS, 0xf000, 0xffff0000, 0xffff, CODE_RIGHTS);
  cpu.setSegment(LDTR, 0, 0, 0xffff, LDT_RIGHTS);
  cpu.setSegment(TR, 0, 0, 0xffff, TSS_RIGHTS);
  cpu.rip = 0xfff0;
  cpu.rflags = 2;
  for (const field of [
    STATE.gdtrBase,
    STATE.idtrBase,
    STATE.cr2,
    STATE.cr3,
    STATE.cr4,
    STATE.efer,
    STATE.dr0,
    STATE.dr1,
    STATE.dr2,
    STATE.dr3,
  ])
    cpu.set64(field, 0n);
  cpu.set32(STATE.gdtrLimit, 0xffff);
  cpu.set32(STATE.idtrLimit, 0xffff);
  cpu.set64(STATE.dr6, 0xffff0ff0n);
  cpu.set64(STATE.dr7, 0x400n);
  cpu.breakpoints.clear();
  cpu.set64(STATE.cr0, BigInt(kind === 'reset' ? RESET_CR0 : 0x10 | cacheBits) & 0xffffffffn);
  for (const field of [STATE.cpl, STATE.interruptibility, STATE.nonRoot, STATE.attention]) cpu.set32(field, 0);
  cpu.passing = cpu.guestTscAhead = 0;
  cpu.set32(STATE.timeDirect, 0);
  forgetSti(cpu);
  cpu.set32(STATE.activity, ACTIVITY.active);
  if (kind === 'reset') resetFloatingPoint(cpu);
  cpu.modeChanged();
  cpu.mmu.pagingChanged();
}

function resetFloatingPoint(cpu: Processor): void {
  cpu.set32(STATE.fcw, 0x40);
  cpu.set32(STATE.fsw, 0);
  cpu.set32(STATE.ftw, 0xff);
  cpu.set32(STATE.mxcsr, 0x1f80);
  cpu.set64(STATE.xcr0, 1n);
  cpu.bytes.fill(0, STATE.xmm, STATE.ymmHigh);
}

/** What a start-up IPI does to a processor that waits for one. See: SDM 9.4.4.2 MP Initialization Protocol Algorithm. */
export function startUp(cpu: Processor, vector: number): void {
  cpu.setSegment(CS, vector << 8, vector << 12, 0xffff, CODE_RIGHTS);
  cpu.rip = 0;
  cpu.set32(STATE.activity, ACTIVITY.active);
  cpu.modeChanged();
}
