// SPDX-License-Identifier: Apache-2.0
import type { EnvironmentFormat } from './instruction.ts';
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
