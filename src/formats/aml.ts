// SPDX-License-Identifier: Apache-2.0
// See: ACPI 20.2 AML Grammar Definition.

import { assert } from '../base/assert.ts';
import { textBytes } from './ascii.ts';

/** Encoded AML. Terms nest by being arguments of each other. */
export type Aml = readonly number[];

/** Opcodes. See: ACPI 20.3 AML Byte Stream Byte Values. */
// prettier-ignore
const OPCODE = {
  zero: [0x00], one: [0x01], name: [0x08], byte: [0x0a], word: [0x0b], dword: [0x0c], text: [0x0d], qword: [0x0e],
  scope: [0x10], buffer: [0x11], package: [0x12], method: [0x14], return: [0xa4], device: [0x5b, 0x82],
} as const;

const littleEndian = (value: number, width: number): number[] =>
  Array.from({ length: width }, (_, index) => Math.floor(value / 2 ** (8 * index)) % 256);

/** An integer in its shortest encoding; exact for 0..2^53-1. */
export function integer(value: number): Aml {
  assert(Number.isSafeInteger(value) && value >= 0, `AML integer ${value}`);
  if (value === 0) return OPCODE.zero;
  if (value === 1) return OPCODE.one;
  if (value < 0x100) return [...OPCODE.byte, value];
  if (value < 0x10000) return [...OPCODE.word, ...littleEndian(value, 2)];
  return value < 2 ** 32 ? [...OPCODE.dword, ...littleEndian(value, 4)] : [...OPCODE.qword, ...littleEndian(value, 8)];
}

export function text(value: string): Aml {
  return [...OPCODE.text, ...textBytes(value), 0];
}

/**
 * A device identifier such as PNP0A08 as the compressed integer that _HID and _CID take.
 * See: ACPI 19.3.4 ASL Macros, EISAID: three letters of 5 bits, four hex digits, bytes swapped.
 */
export function eisaId(id: string): Aml {
  assert(/^[A-Z]{3}[0-9A-F]{4}$/.test(id), `EISA identifier ${id}`);
  const [a, b, c] = [0, 1, 2].map((index) => id.charCodeAt(index) - 0x40) as [number, number, number];
  const letters = (a << 10) | (b << 5) | c;
  const digits = Number.parseInt(id.slice(3), 16);
  return [...OPCODE.dword, letters >> 8, letters & 0xff, digits >> 8, digits & 0xff];
}

/**
 * A path: segments of one to four characters separated by dots, a leading backslash for the root, carets for parents.
 * See: ACPI 20.2.2 Name Objects Encoding.
 */
export function namePath(path: string): Aml {
  const prefix = /^(\\|\^*)/.exec(path)![0];
  const rest = path.slice(prefix.length);
  const segments = rest === '' ? [] : rest.split('.').map(nameSegment);
  const count =
    segments.length === 0
      ? [0x00]
      : segments.length === 1
        ? []
        : segments.length === 2
          ? [0x2e]
          : [0x2f, segments.length];
  return [...textBytes(prefix), ...count, ...segments.flat()];
}

function nameSegment(segment: string): number[] {
  assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment), `AML name segment "${segment}"`);
  return [...textBytes(segment.padEnd(4, '_'))];
}

/**
 * The length that precedes a package; it counts its own bytes.
 * See: ACPI 20.2.4 Package Length Encoding.
 */
export function packageLength(bytesAfter: number): Aml {
  if (bytesAfter + 1 < 64) return [bytesAfter + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const total = bytesAfter + 1 + extra;
    if (total < 1 << (4 + 8 * extra)) return [(extra << 6) | (total & 15), ...littleEndian(total >> 4, extra)];
  }
  assert(false, `AML package of ${bytesAfter} bytes`);
}

const sized = (opcode: readonly number[], body: Aml): Aml => [...opcode, ...packageLength(body.length), ...body];

export const name = (path: string, value: Aml): Aml => [...OPCODE.name, ...namePath(path), ...value];
export const scope = (path: string, ...terms: Aml[]): Aml => sized(OPCODE.scope, [...namePath(path), ...terms.flat()]);
export const device = (path: string, ...terms: Aml[]): Aml =>
  sized(OPCODE.device, [...namePath(path), ...terms.flat()]);
export const returns = (value: Aml): Aml => [...OPCODE.return, ...value];

/** A method with `argumentCount` arguments 0..7, not serialized. */
export function method(path: string, argumentCount: number, ...terms: Aml[]): Aml {
  assert(argumentCount >= 0 && argumentCount <= 7, `AML method with ${argumentCount} arguments`);
  return sized(OPCODE.method, [...namePath(path), argumentCount, ...terms.flat()]);
}

/** A package (list) of at most 255 elements. */
export function list(...elements: Aml[]): Aml {
  assert(elements.length < 256, `AML package of ${elements.length} elements`);
  return sized(OPCODE.package, [elements.length, ...elements.flat()]);
}

export function buffer(bytes: readonly number[]): Aml {
  return sized(OPCODE.buffer, [...integer(bytes.length), ...bytes]);
}

/** A whole resource template: the descriptors, the end tag, as a buffer. See: ACPI 6.4.2.9 End Tag (checksum 0: not checked). */
export function resourceTemplate(...descriptors: Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0x00]);
}

/** Fixed I/O ports, 16-bit decode. See: ACPI 6.4.2.5 I/O Port Descriptor. */
export function ioPorts(base: number, count: number): Aml {
  assert(base >= 0 && count > 0 && count < 256 && base + count <= 0x10000, `I/O ports ${base}+${count}`);
  return [0x47, 0x01, ...littleEndian(base, 2), ...littleEndian(base, 2), 0x01, count];
}

/** ISA interrupts, edge, active high. See: ACPI 6.4.2.1 IRQ Descriptor. */
export function isaInterrupt(...irqs: number[]): Aml {
  const mask = irqs.reduce((bits, irq) => bits | (1 << irq), 0);
  return [0x22, ...littleEndian(mask, 2)];
}

/** See: ACPI 6.4.3.4 32-Bit Fixed Memory Range Descriptor. */
export function fixedMemory(base: number, size: number): Aml {
  return [0x86, 9, 0, 1, ...littleEndian(base, 4), ...littleEndian(size, 4)];
}

/** A window a host bridge passes on. */
export interface AddressWindow {
  readonly kind: 'memory' | 'io' | 'bus';
  readonly base: number;
  readonly size: number;
  /** Memory only. */
  readonly prefetchable?: boolean;
}

/**
 * A window as producer, fixed at both ends, positively decoded, in the narrowest descriptor that holds it.
 * See: ACPI 6.4.3.5 Address Space Resource Descriptors.
 */
export function addressWindow(window: AddressWindow): Aml {
  const last = window.base + window.size - 1;
  const width = window.kind === 'memory' ? (last < 2 ** 32 ? 4 : 8) : 2;
  assert(window.size > 0 && last < 2 ** (8 * width), `${window.kind} window ${window.base}+${window.size}`);
  const values = [0, window.base, last, 0, window.size].flatMap((value) => littleEndian(value, width));
  const body = [RESOURCE_TYPE[window.kind], 0x0c, typeFlags(window), ...values];
  return [DESCRIPTOR_TAG[width], ...littleEndian(body.length, 2), ...body];
}

const RESOURCE_TYPE = { memory: 0, io: 1, bus: 2 } as const;
const DESCRIPTOR_TAG = { 2: 0x88, 4: 0x87, 8: 0x8a } as const;

/** Memory: read-write, cacheable or prefetchable. I/O: the entire range (ISA and non-ISA). */
function typeFlags(window: AddressWindow): number {
  if (window.kind === 'memory') return window.prefetchable ? 0x07 : 0x01;
  return window.kind === 'io' ? 0x03 : 0x00;
}
