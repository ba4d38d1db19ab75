// SPDX-License-Identifier: Apache-2.0
// XSAVE and its family for the x87 and SSE components. See: SDM Chapter 13 Managing State Using the XSAVE Feature Set.

import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0, CR4 } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RAX, RCX, RDX, STATE } from '../state.ts';
import { VECTOR } from './exceptions.ts';
import { areaLinear } from './fxsave.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import {
  INITIAL_MXCSR,
  LEGACY_BYTES,
  imageMxcsr,
  imageOf,
  initializeX87,
  initializeXmm,
  mxcsrIsValid,
  restoreX87,
  restoreXmm,
  saveMxcsr,
  saveX87,
  saveXmm,
  x87IsInitial,
  xmmCount,
  xmmIsInitial,
} from './legacy-region.ts';
import { loadBlock, probeBlock, storeBlock } from './memory-block.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

const X87 = 1;
const SSE = 2;
const SUPPORTED = X87 | SSE;
const HEADER_BYTES = 64;
const AREA_BYTES = LEGACY_BYTES + HEADER_BYTES;
const ALIGNMENT = 64;
const COMPACTED_HIGH = 0x80000000;
// prettier-ignore
const AT = { x87Pointers: 24, mxcsrEnd: 32, st: 32, xmm: 160, xstateBv: 512, xcompBv: 520, reserved: 528, end: 576 } as const;
const image = imageOf(AREA_BYTES);

/** Components in use: those not in their initial configuration. MXCSR does not count. */
function componentsInUse(cpu: Processor): number {
  return (x87IsInitial(cpu) ? 0 : X87) | (xmmIsInitial(cpu) ? 0 : SSE);
}

/** What comes before the operand: #UD, then a VM exit, then #NM. The status to return, or -1 to go on. */
function prelude(cpu: Processor, instruction: Instruction): number {
  if ((cpu.cr4 & CR4.OSXSAVE) === 0) return cpu.undefinedOpcode();
  const exit = instruction.opcode.vmx;
  if (exit !== undefined && intercepted(cpu, instruction, exit)) return INTERCEPTED;
  return cpu.cr0 & CR0.TS ? cpu.fault(VECTOR.NM) : -1;
}

/** The requested-feature bitmap. No supervisor component exists, so IA32_XSS adds nothing to its low half. */
function requested(cpu: Processor): number {
  return cpu.words[STATE.xcr0 >> 2] & cpu.words[RAX * 2] & SUPPORTED;
}

interface SaveKind {
  /** Components in their initial configuration are not written. */
  readonly optimized: boolean;
  readonly compacted: boolean;
}

function save(kind: SaveKind): Microcode {
  return (cpu, instruction) => {
    const status = prelude(cpu, instruction);
    if (status >= 0) return status;
    const linear = areaLinear(cpu, instruction, AREA_BYTES, ALIGNMENT, true);
    if (cpu.faulted || !probeBlock(cpu, linear, AREA_BYTES)) return STATUS.fault;
    return saveTo(cpu, linear, requested(cpu), instruction.operandSize === 64, kind);
  };
}

function saveTo(cpu: Processor, linear: LinearAddress, rfbm: number, wide: boolean, kind: SaveKind): number {
  let used = componentsInUse(cpu) & rfbm;
  // See: SDM 13.10 Operation of XSAVEC: an MXCSR other than its initial value counts as SSE state.
  if (kind.compacted && rfbm & SSE && cpu.get32(STATE.mxcsr) !== INITIAL_MXCSR) used |= SSE;
  const written = kind.optimized ? used : rfbm;
  if (written & X87) saveX87(cpu, image, wide);
  if (kind.compacted ? written & SSE : rfbm & SSE) saveMxcsr(cpu, image);
  if (written & SSE) saveXmm(cpu, image);
  storeParts(cpu, linear, written, (kind.compacted ? written : rfbm) & SSE);
  storeHeader(cpu, linear, rfbm, used, kind.compacted);
  return cpu.faulted ? STATUS.fault : STATUS.next;
}

function part(cpu: Processor, linear: LinearAddress, from: number, to: number): void {
  if (!cpu.faulted) storeBlock(cpu, linear + from, image.bytes.subarray(from, to));
}

function storeParts(cpu: Processor, linear: LinearAddress, written: number, mxcsr: number): void {
  if (written & X87) part(cpu, linear, 0, AT.x87Pointers);
  if (mxcsr) part(cpu, linear, AT.x87Pointers, AT.mxcsrEnd);
  if (written & X87) part(cpu, linear, AT.st, AT.xmm);
  if (written & SSE) part(cpu, linear, AT.xmm, AT.xmm + 16 * xmmCount(cpu));
}

/** The standard form keeps XSTATE_BV bits that were not asked for, and leaves XCOMP_BV alone. */
function storeHeader(cpu: Processor, linear: LinearAddress, rfbm: number, used: number, compacted: boolean): void {
  const { view, bytes } = image;
  if (!compacted) {
    if (cpu.faulted || !loadBlock(cpu, linear + AT.xstateBv, bytes.subarray(AT.xstateBv, AT.xcompBv))) return;
    view.setUint32(AT.xstateBv, (view.getUint32(AT.xstateBv, true) & ~rfbm) | used, true);
    return part(cpu, linear, AT.xstateBv, AT.xcompBv);
  }
  view.setUint32(AT.xstateBv, used, true);
  view.setUint32(AT.xstateBv + 4, 0, true);
  view.setUint32(AT.xcompBv, rfbm, true);
  view.setUint32(AT.xcompBv + 4, COMPACTED_HIGH, true);
  part(cpu, linear, AT.xstateBv, AT.reserved);
}

/** Whether the header in the image may be restored. See: SDM 13.8.1 Standard Form of XRSTOR, 13.8.2 Compacted Form of XRSTOR. */
function headerIsValid(cpu: Processor, supervisor: boolean): boolean {
  const { view, bytes } = image;
  const xcr0 = cpu.words[STATE.xcr0 >> 2];
  const state = view.getUint32(AT.xstateBv, true);
  const components = view.getUint32(AT.xcompBv, true);
  const compactedHigh = view.getUint32(AT.xcompBv + 4, true);
  const compacted = compactedHigh === COMPACTED_HIGH && cpu.environment.cpuid.features.has('XSAVEC');
  if (view.getUint32(AT.xstateBv + 4, true) !== 0 || state & ~xcr0) return false;
  if (!zero(bytes, compacted ? AT.reserved : AT.xcompBv, compacted ? AT.end : AT.xcompBv + 16)) return false;
  if (compacted) return (components & ~xcr0) === 0 && (state & ~components) === 0;
  return !supervisor;
}

function zero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}

function restore(supervisor: boolean): Microcode {
  return (cpu: Processor, instruction: Instruction) => {
    const status = prelude(cpu, instruction);
    if (status >= 0) return status;
    const linear = areaLinear(cpu, instruction, AREA_BYTES, ALIGNMENT, false);
    if (cpu.faulted || !loadBlock(cpu, linear, image.bytes)) return STATUS.fault;
    if (!headerIsValid(cpu, supervisor)) return cpu.generalProtection();
    return restoreFromImage(cpu, requested(cpu), instruction.operandSize === 64);
  };
}

/** The standard form loads MXCSR whenever SSE is asked for, even where XMM registers are initialized. */
function restoreFromImage(cpu: Processor, rfbm: number, wide: boolean): number {
  const state = image.view.getUint32(AT.xstateBv, true) & rfbm;
  const compacted = image.view.getUint32(AT.xcompBv + 4, true) === COMPACTED_HIGH;
  const loadsMxcsr = (compacted ? state : rfbm) & SSE;
  const mxcsr = loadsMxcsr ? imageMxcsr(image) : INITIAL_MXCSR;
  if (!mxcsrIsValid(mxcsr)) return cpu.generalProtection();
  if (state & X87) restoreX87(cpu, image, wide);
  else if (rfbm & X87) initializeX87(cpu);
  if (rfbm & SSE) cpu.set32(STATE.mxcsr, mxcsr);
  if (state & SSE) restoreXmm(cpu, image);
  else if (rfbm & SSE) initializeXmm(cpu);
  return STATUS.next;
}

function xgetbv(cpu: Processor): number {
  if ((cpu.cr4 & CR4.OSXSAVE) === 0) return cpu.undefinedOpcode();
  const index = cpu.reg32(RCX);
  const withUse = index === 1 && cpu.environment.cpuid.features.has('XGETBV1');
  if (index !== 0 && !withUse) return cpu.generalProtection();
  cpu.setReg32(RAX, cpu.get32(STATE.xcr0) & (withUse ? componentsInUse(cpu) : -1));
  cpu.setReg32(RDX, 0);
  return STATUS.next;
}

/** Whether XCR0 may have this value. See: SDM 2.6 Extended Control Registers (Including XCR0). */
function xcr0IsValid(low: number, high: number): boolean {
  return high === 0 && (low & X87) !== 0 && (low & ~SUPPORTED) === 0;
}

function xsetbv(cpu: Processor, instruction: Instruction): number {
  if ((cpu.cr4 & CR4.OSXSAVE) === 0) return cpu.undefinedOpcode();
  if (intercepted(cpu, instruction, 'XSETBV')) return INTERCEPTED;
  if (cpu.reg32(RCX) !== 0 || !xcr0IsValid(cpu.reg32(RAX), cpu.reg32(RDX))) return cpu.generalProtection();
  cpu.set32(STATE.xcr0, cpu.reg32(RAX));
  return STATUS.next;
}

export const EXTENDED_STATE_MICROCODE: MicrocodeRoutines = {
  XSAVE: save({ optimized: false, compacted: false }),
  XSAVEOPT: save({ optimized: true, compacted: false }),
  XSAVEC: save({ optimized: true, compacted: true }),
  XSAVES: save({ optimized: true, compacted: true }),
  XRSTOR: restore(false),
  XRSTORS: restore(true),
  XGETBV: xgetbv,
  XSETBV: xsetbv,
};
