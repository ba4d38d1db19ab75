// SPDX-License-Identifier: Apache-2.0
import { STATE } from '../state.ts';
import type { EnvironmentFormat } from './instruction.ts';
import { FCW } from './registers.ts';
import type { X87 } from './x87.ts';

/** Bytes of the image of FNSTENV in a format; that of FNSAVE has eight registers of 10 bytes behind it. */
export function environmentBytes(format: EnvironmentFormat): number {
  return format.endsWith('32') ? 28 : 14;
}

const REGISTERS_BYTES = 80;

export function saveBytes(format: EnvironmentFormat): number {
  return environmentBytes(format) + REGISTERS_BYTES;
}

/** The pointers as seven words of the image's width, the first three being the control, status and tag words. See: SDM Figure 8-9 to Figure 8-12. */
export function packEnvironment(x87: X87, format: EnvironmentFormat): Uint8Array {
  const wide = format.endsWith('32');
  const bytes = new Uint8Array(environmentBytes(format));
  const view = new DataView(bytes.buffer);
  const words = [x87.fcw, x87.fsw, x87.fullTags, ...pointerWords(x87, format)];
  // The upper halves of 32-bit fields that hold a word are ones.
  const fill = 0xffff_0000;
  words.forEach((word, n) => {
    if (!wide) view.setUint16(n * 2, word & 0xffff, true);
    else view.setUint32(n * 4, n < 3 || (n === 6 && format === 'protected32') ? (word | fill) >>> 0 : word >>> 0, true);
  });
  return bytes;
}

function pointerWords(x87: X87, format: EnvironmentFormat): number[] {
  const { fcs, fip, fop, fds, fdp } = x87.pointers;
  const instruction = Number(BigInt.asUintN(32, fip));
  const data = Number(BigInt.asUintN(32, fdp));
  if (format === 'protected32') return [instruction, (fcs | (fop << 16)) >>> 0, data, fds];
  if (format === 'protected16') return [instruction, fcs, data, fds];
  return realPointerWords(instruction + fcs * 16, data + fds * 16, fop, format === 'real32');
}

/** Linear addresses in pieces: 16 bits, and the rest shifted to bit 12. */
function realPointerWords(instruction: number, data: number, fop: number, wide: boolean): number[] {
  const high = (address: number): number => (wide ? (address >>> 16) << 12 : (address >>> 4) & 0xf000);
  return [instruction & 0xffff, high(instruction) | fop, data & 0xffff, high(data)];
}

export function unpackEnvironment(x87: X87, bytes: Uint8Array, format: EnvironmentFormat): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = format.endsWith('32');
  const word = (n: number): number => (wide ? view.getUint32(n * 4, true) : view.getUint16(n * 2, true));
  x87.fsw = word(1) & 0xffff;
  x87.fullTags = word(2) & 0xffff;
  unpackPointers(x87, [3, 4, 5, 6].map(word), format);
  x87.fcw = word(0) & 0xffff;
}

function unpackPointers(x87: X87, words: readonly number[], format: EnvironmentFormat): void {
  const [instruction, second, data, last] = words;
  if (format.startsWith('protected')) {
    x87.recordInstruction(second & 0xffff, BigInt(instruction), second >>> 16);
    x87.recordData(last & 0xffff, BigInt(data));
    return;
  }
  const high = (value: number): number =>
    (format === 'real32' ? (value & 0x0fff_f000) << 4 : (value & 0xf000) << 4) >>> 0;
  x87.recordInstruction(0, BigInt(((instruction & 0xffff) | high(second)) >>> 0), second & 0x7ff);
  x87.recordData(0, BigInt(((data & 0xffff) | high(last)) >>> 0));
}

/** The registers in stack order, 10 bytes each. */
export function packRegisters(x87: X87): Uint8Array {
  const bytes = new Uint8Array(REGISTERS_BYTES);
  const view = new DataView(bytes.buffer);
  for (let n = 0; n < 8; n++) {
    const bits = x87.bits(n);
    view.setBigUint64(n * 10, BigInt.asUintN(64, bits), true);
    view.setUint16(n * 10 + 8, Number(bits >> 64n), true);
  }
  return bytes;
}

/** Writes the registers without touching tags; TOP is already that of the image. */
export function unpackRegisters(x87: X87, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let n = 0; n < 8; n++) {
    const bits = (BigInt(view.getUint16(n * 10 + 8, true)) << 64n) | view.getBigUint64(n * 10, true);
    x87.setPhysical((x87.top + n) & 7, bits);
  }
}

/** See: SDM Table 10-2 Format of an FXSAVE Area. */
// prettier-ignore
const FXSAVE = {
  fcw: 0, fsw: 2, ftw: 4, fop: 6, fip: 8, fcs: 12, fdp: 16, fds: 20, mxcsr: 24, mxcsrMask: 28, registers: 32, xmm: 160, size: 512,
} as const;

/** Which FXSAVE: with REX.W pointers are 64 bits wide; 64-bit mode has sixteen XMM registers, others eight; CR4.OSFXSR decides about SSE. */
export interface FxsaveForm {
  readonly rexW: boolean;
  readonly xmmRegisters: 0 | 8 | 16;
  readonly mxcsrMask: number;
}

/** Writes the image that FXSAVE, or XSAVE's legacy region, stores into 512 bytes at `target`; bytes it does not define stay. */
export function packFxsave(x87: X87, state: DataView, base: number, target: Uint8Array, form: FxsaveForm): void {
  const view = new DataView(target.buffer, target.byteOffset, FXSAVE.size);
  const { fcs, fip, fop, fds, fdp } = x87.pointers;
  view.setUint16(FXSAVE.fcw, x87.fcw, true);
  view.setUint16(FXSAVE.fsw, x87.fsw, true);
  view.setUint16(FXSAVE.ftw, x87.ftw, true);
  view.setUint16(FXSAVE.fop, fop, true);
  view.setBigUint64(FXSAVE.fip, form.rexW ? fip : BigInt.asUintN(32, fip) | (BigInt(fcs) << 32n), true);
  view.setBigUint64(FXSAVE.fdp, form.rexW ? fdp : BigInt.asUintN(32, fdp) | (BigInt(fds) << 32n), true);
  view.setUint32(FXSAVE.mxcsr, state.getUint32(base + STATE.mxcsr, true), true);
  view.setUint32(FXSAVE.mxcsrMask, form.mxcsrMask, true);
  for (let n = 0; n < 8; n++) {
    const bits = x87.bits(n);
    view.setBigUint64(FXSAVE.registers + n * 16, BigInt.asUintN(64, bits), true);
    view.setBigUint64(FXSAVE.registers + n * 16 + 8, bits >> 64n, true);
  }
  for (let n = 0; n < form.xmmRegisters * 16; n++) target[FXSAVE.xmm + n] = state.getUint8(base + STATE.xmm + n);
}

/**
 * Loads such an image. False, with nothing changed, when MXCSR has a bit outside `mxcsrMask`: #GP(0).
 */
export function unpackFxsave(x87: X87, state: DataView, base: number, source: Uint8Array, form: FxsaveForm): boolean {
  const view = new DataView(source.buffer, source.byteOffset, FXSAVE.size);
  const mxcsr = view.getUint32(FXSAVE.mxcsr, true);
  if (form.xmmRegisters !== 0 && (mxcsr & ~form.mxcsrMask) !== 0) return false;
  unpackFxsavePointers(x87, view, form.rexW);
  x87.fsw = view.getUint16(FXSAVE.fsw, true);
  x87.ftw = view.getUint8(FXSAVE.ftw);
  x87.fcw = view.getUint16(FXSAVE.fcw, true) & FCW.writable;
  for (let n = 0; n < 8; n++) {
    const low = view.getBigUint64(FXSAVE.registers + n * 16, true);
    const high = BigInt(view.getUint16(FXSAVE.registers + n * 16 + 8, true));
    x87.setPhysical((x87.top + n) & 7, (high << 64n) | low);
  }
  if (form.xmmRegisters !== 0) state.setUint32(base + STATE.mxcsr, mxcsr, true);
  for (let n = 0; n < form.xmmRegisters * 16; n++) state.setUint8(base + STATE.xmm + n, source[FXSAVE.xmm + n]);
  return true;
}

function unpackFxsavePointers(x87: X87, view: DataView, rexW: boolean): void {
  const fip = view.getBigUint64(FXSAVE.fip, true);
  const fdp = view.getBigUint64(FXSAVE.fdp, true);
  const narrow = (pointer: bigint): bigint => (rexW ? pointer : BigInt.asUintN(32, pointer));
  x87.recordInstruction(rexW ? 0 : view.getUint16(FXSAVE.fcs, true), narrow(fip), view.getUint16(FXSAVE.fop, true));
  x87.recordData(rexW ? 0 : view.getUint16(FXSAVE.fds, true), narrow(fdp));
}
