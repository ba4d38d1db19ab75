// SPDX-License-Identifier: Apache-2.0
// The first 512 bytes of an FXSAVE or XSAVE area. See: SDM 13.4.1 Legacy Region of an XSAVE Area.

import { MXCSR } from '../sse-float/mxcsr.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';

export const LEGACY_BYTES = 512;

// prettier-ignore
const AT = { fcw: 0, fsw: 2, ftw: 4, fop: 6, fip: 8, fcs: 12, fdp: 16, fds: 20, mxcsr: 24, mxcsrMask: 28, st: 32, xmm: 160 } as const;
const X87_REGISTERS_END = AT.xmm;
const FSW_TOP_SHIFT = 11;
const INITIAL_FCW = 0x37f;
export const INITIAL_MXCSR = MXCSR.reset;

/** An image, and a view of it for multi-byte fields. */
export interface Image {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function imageOf(length: number): Image {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** 8 outside 64-bit mode: the upper registers are then neither saved nor restored. */
export function xmmCount(cpu: Processor): number {
  return cpu.code64 ? 16 : 8;
}

/** Where ST(i) lies in the state block; the image is in stack order. */
function stackRegister(top: number, i: number): number {
  return STATE.x87 + ((top + i) & 7) * 16;
}

/** `wide`: with REX.W, 64-bit pointers take the places of selector and offset. */
export function saveX87(cpu: Processor, image: Image, wide: boolean): void {
  const { view, bytes } = image;
  const fsw = cpu.get32(STATE.fsw);
  view.setUint16(AT.fcw, cpu.get32(STATE.fcw), true);
  view.setUint16(AT.fsw, fsw, true);
  view.setUint16(AT.ftw, cpu.get32(STATE.ftw) & 0xff, true);
  view.setUint16(AT.fop, cpu.get32(STATE.fop), true);
  savePointer(cpu, view, AT.fip, STATE.fip, STATE.fcs, wide);
  savePointer(cpu, view, AT.fdp, STATE.fdp, STATE.fds, wide);
  bytes.fill(0, AT.st, X87_REGISTERS_END);
  for (let i = 0; i < 8; i++) {
    const from = stackRegister(fsw >> FSW_TOP_SHIFT, i);
    bytes.set(cpu.bytes.subarray(from, from + 10), AT.st + 16 * i);
  }
}

function savePointer(
  cpu: Processor,
  view: DataView,
  at: number,
  offset: number,
  selector: number,
  wide: boolean,
): void {
  view.setUint32(at, cpu.get32(offset), true);
  view.setUint32(at + 4, wide ? cpu.get32(offset + 4) : cpu.get32(selector) & 0xffff, true);
}

export function restoreX87(cpu: Processor, image: Image, wide: boolean): void {
  const { view, bytes } = image;
  const fsw = view.getUint16(AT.fsw, true);
  cpu.set32(STATE.fcw, view.getUint16(AT.fcw, true) | 0x40);
  cpu.set32(STATE.fsw, fsw);
  cpu.set32(STATE.ftw, view.getUint8(AT.ftw));
  cpu.set32(STATE.fop, view.getUint16(AT.fop, true) & 0x7ff);
  restorePointer(cpu, view, AT.fip, STATE.fip, STATE.fcs, wide);
  restorePointer(cpu, view, AT.fdp, STATE.fdp, STATE.fds, wide);
  for (let i = 0; i < 8; i++) {
    const at = AT.st + 16 * i;
    cpu.bytes.set(bytes.subarray(at, at + 10), stackRegister(fsw >> FSW_TOP_SHIFT, i));
  }
}

function restorePointer(
  cpu: Processor,
  view: DataView,
  at: number,
  offset: number,
  selector: number,
  wide: boolean,
): void {
  cpu.set32(offset, view.getUint32(at, true));
  cpu.set32(offset + 4, wide ? view.getUint32(at + 4, true) : 0);
  cpu.set32(selector, wide ? 0 : view.getUint16(at + 4, true));
}

/** See: SDM 13.6 Processor Tracking of XSAVE-Managed State. */
export function initializeX87(cpu: Processor): void {
  cpu.set32(STATE.fcw, INITIAL_FCW);
  for (const field of [STATE.fsw, STATE.ftw, STATE.fop, STATE.fcs, STATE.fds]) cpu.set32(field, 0);
  cpu.set64(STATE.fip, 0n);
  cpu.set64(STATE.fdp, 0n);
  cpu.bytes.fill(0, STATE.x87, STATE.ymmHigh);
}

export function x87IsInitial(cpu: Processor): boolean {
  const { words } = cpu;
  if (words[STATE.fcw >> 2] !== INITIAL_FCW) return false;
  const control = words[STATE.fsw >> 2] | words[STATE.ftw >> 2] | words[STATE.fop >> 2];
  const selectors = words[STATE.fcs >> 2] | words[STATE.fds >> 2];
  const pointers = STATE.fip >> 2;
  const offsets = words[pointers] | words[pointers + 1] | words[pointers + 2] | words[pointers + 3];
  return (control | selectors | offsets) === 0 && zeroWords(cpu, STATE.x87, STATE.ymmHigh);
}

function zeroWords(cpu: Processor, start: number, end: number): boolean {
  const { words } = cpu;
  for (let i = start >> 2; i < end >> 2; i++) if (words[i] !== 0) return false;
  return true;
}

export function saveXmm(cpu: Processor, image: Image): void {
  image.bytes.set(cpu.bytes.subarray(STATE.xmm, STATE.xmm + 16 * xmmCount(cpu)), AT.xmm);
}
export function restoreXmm(cpu: Processor, image: Image): void {
  cpu.bytes.set(image.bytes.subarray(AT.xmm, AT.xmm + 16 * xmmCount(cpu)), STATE.xmm);
}
export function initializeXmm(cpu: Processor): void {
  cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 16 * xmmCount(cpu));
}
export function xmmIsInitial(cpu: Processor): boolean {
  return zeroWords(cpu, STATE.xmm, STATE.xmm + 16 * xmmCount(cpu));
}

export function saveMxcsr(cpu: Processor, image: Image): void {
  image.view.setUint32(AT.mxcsr, cpu.get32(STATE.mxcsr), true);
  image.view.setUint32(AT.mxcsrMask, MXCSR.writable, true);
}
export function imageMxcsr(image: Image): number {
  return image.view.getUint32(AT.mxcsr, true);
}
/** Reserved bits of MXCSR may not be loaded. */
export function mxcsrIsValid(value: number): boolean {
  return (value & ~MXCSR.writable) === 0;
}
