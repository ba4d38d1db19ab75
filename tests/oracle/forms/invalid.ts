// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type Row } from '../form.ts';

/** Encodings that do not exist in 64-bit mode: #UD. See: SDM Volume 2 A.3 One, Two, and Three-Byte Opcode Maps. */
// prettier-ignore
const UNDEFINED = [
  '0F 0B', '06', '07', '0E', '16', '17', '1E', '1F', '27', '2F', '37', '3F', '60', '61', '82 C0 01', 'CE', 'D4 0A', 'D5 0A', 'D6',
  '9A 00 00 00 00 00 00', 'EA 00 00 00 00 00 00', 'FE D0', 'FF F8', '0F 04', '0F 0A', '0F 36', '0F A6 C0',
  '0F C7 C8', '0F BA C0 01', '8D C0', '0F C3 C0', '62 C0', 'C4', 'C5',
];

/**
 * Not at this privilege, not in this mode of VMX or SMM, or not on a processor without it: #UD before anything else is
 * looked at. See: SDM 26.3 VMX Instructions: Introduction (outside VMX operation).
 */
// prettier-ignore
const ELSEWHERE = [
  '0F 01 C2', '0F 01 C3', '0F 01 C4', '0F 01 D4', '0F C7 30', '66 0F C7 30', 'F3 0F C7 30', '0F C7 38', '0F 78 00', '0F 78 C0', '0F 79 00', '0F 79 C0',
  '66 0F 38 80 00', '66 0F 38 81 00', '0F AA', '0F 37', '0F 01 C8', '0F 01 C9', '0F 01 CA', '0F 01 CB',
];

/** UD0 and UD1 have operands, of any size. */
const WITH_OPERANDS = ['0F B9', '0F FF'].flatMap((opcode) =>
  ['', '66 ', '48 '].flatMap((prefix) => [`${prefix}${opcode} C0`, `${prefix}${opcode} 00`]),
);

/** LOCK where it is not allowed: #UD. */
// prettier-ignore
const LOCKED = ['F0 90', 'F0 89 C0', 'F0 01 C0', 'F0 8B 00', 'F0 39 00', 'F0 85 00', 'F0 C1 20 01', 'F0 0F A3 00', 'F0 C3', 'F0 0F AF 00', 'F0 A4'];

/** Privileged or IOPL-sensitive at CPL 3: #GP(0). */
// prettier-ignore
const PRIVILEGED = [
  'F4', 'FA', 'FB', 'E4 60', 'E5 60', 'E6 80', 'E7 80', 'EC', 'ED', 'EE', 'EF', '6C', '6E', '0F 06', '0F 08', '0F 09', '0F 20 C0', '0F 22 C0',
  '0F 20 D8', '0F 21 C0', '0F 23 C0', '0F 30', '0F 32', '0F 33', '0F 01 38', '0F 01 10', '0F 01 18', '0F 01 F0', '0F 01 30', '0F 00 D0', '0F 00 10',
  '0F 00 D8', '0F 00 18', '0F 07', '48 0F 07', '0F 01 F8', 'F3 0F 09', '66 0F 38 82 00', '0F 01 D1', '0F C7 18', '48 0F C7 18', '0F C7 28', '48 0F C7 28',
];

/** Ports, which IOPL and the TSS forbid: every size, and string operations with every prefix. */
const PORTS = [
  ...['E5 60', 'E7 80', 'ED', 'EF'].flatMap((code) => [`66 ${code}`, `48 ${code}`]),
  ...['6C', '6D', '6E', '6F'].flatMap((code) =>
    ['', 'F3 ', '67 ', '67 F3 '].flatMap((prefix) =>
      ['', '66 ', '48 '].map((size) => (size === '48 ' ? `${prefix}48 ${code}` : `${size}${prefix}${code}`)),
    ),
  ),
].filter((code) => !PRIVILEGED.includes(code));

/** Breakpoint: vector 3, RIP after it. */
const TRAPS = ['CC'];

const bytes = (text: string): number[] => text.split(' ').map((token) => Number.parseInt(token, 16));

const rowOf =
  (mnemonic: string) =>
  (text: string): Row => [mnemonic, text, { emit: (d: Draft) => prepareEmit(d, bytes(text)) }];

/** RAX, RSI and RDI point to memory, so that nothing but the encoding can be at fault. A count in RCX is often zero. */
function prepareEmit(d: Draft, code: number[]): number[] {
  for (const n of [0, 6, 7]) d.setRegister(n, 0x20000400n);
  d.setRegister(1, BigInt(d.random.below(3)));
  return [...code, 0, 0, 0, 0, 0, 0].slice(0, Math.max(code.length, 8));
}

export const INVALID_FORMS = formsOf('invalid', [
  ...[...UNDEFINED, ...ELSEWHERE, ...WITH_OPERANDS].map(rowOf('undefined')),
  ...LOCKED.map(rowOf('locked')),
  ...[...PRIVILEGED, ...PORTS].map(rowOf('privileged')),
  ...TRAPS.map(rowOf('int3')),
]);
