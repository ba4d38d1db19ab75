// SPDX-License-Identifier: Apache-2.0
// Multiboot kernels of a few instructions: 32-bit code at 1 MiB.
import { multiboot1Header } from '../boot/synthetic-kernels.ts';

const LOAD = 0x100000;
const HEADER = 32;
const WITH_ADDRESSES = 0x10000;

/** 32-bit code, right after the header. */
export function testKernel(code: readonly number[]): Uint8Array {
  const header = multiboot1Header(WITH_ADDRESSES, LOAD, LOAD, 0, 0, LOAD + HEADER);
  return Uint8Array.from([...header, ...code]);
}

const word = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** mov dx, port; mov al, byte; out dx, al */
export const outByte = (port: number, value: number): number[] => [
  0x66,
  0xba,
  port & 0xff,
  port >> 8,
  0xb0,
  value,
  0xee,
];
export const say = (text: string, port = 0x3f8): number[] =>
  Array.from(text, (character) => outByte(port, character.charCodeAt(0))).flat();
/** mov dx, 0xf4; mov eax, value; out dx, eax */
export const debugExit = (value: number): number[] => [0x66, 0xba, 0xf4, 0, 0xb8, ...word(value), 0xef];
/** ACPI soft-off: SLP_TYP 5 and SLP_EN into PM1a control. */
export const powerOff: readonly number[] = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0, 0x34, 0x66, 0xef];
/** Port CF9h. */
export const reset: readonly number[] = outByte(0xcf9, 6);
/** lidt of the zeroes at 2 MiB, a table of nothing; then int3: a triple fault. */
export const tripleFault: readonly number[] = [0x0f, 0x01, 0x1d, ...word(0x200000), 0xcc];
/** cli; hlt */
export const halt: readonly number[] = [0xfa, 0xf4];
/** Counts down from 100,000. */
export const loop: readonly number[] = [0xb9, ...word(100_000), 0x49, 0x75, 0xfd]; // mov ecx, n; dec ecx; jnz -3
/** jmp $ */
export const spin: readonly number[] = [0xeb, 0xfe];
/** Waits for a byte on COM1 and sends it back. */
export const echo: readonly number[] = [
  0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0x66, 0xba, 0xf8, 0x03, 0xec, 0xee,
];
/** Sends what EBX points to (the multiboot information) + offset, a pointer to text, to COM1. */
export const sayTextAt = (offset: number): number[] => [
  ...[0x8b, 0x73, offset], // mov esi, [ebx + offset]
  ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8], // lodsb; test al, al; jz +3; out dx, al; jmp -8
];
