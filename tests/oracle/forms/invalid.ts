// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type Row } from '../form.ts';

/** Encodings that do not exist in 64-bit mode: #UD. See: SDM Volume 2 A.3 One, Two, and Three-Byte Opcode Maps. */
// prettier-ignore
const UNDEFINED = [
  '0F 0B', '06', '07', '0E', '16', '17', '1E', '1F', '27', '2F', '37', '3F', '60', '61', '82 C0 01', 'CE', 'D4 0A', 'D5 0A', 'D6',
  '9A 00 00 00 00 00 00', 'EA 00 00 00 00 00 00', 'FE D0', 'FF F8', '0F 04', '0F 0A', '0F 36', '0F FF C0', '0F B9 C0', '0F A6 C0',
  '0F C7 C8', '0F BA C0 01', '8D C0', '0F C3 C0', '62 C0', 'C4', 'C5',
];

/** LOCK where it is not allowed: #UD. */
// prettier-ignore
const LOCKED = ['F0 90', 'F0 89 C0', 'F0 01 C0', 'F0 8B 00', 'F0 39 00', 'F0 85 00', 'F0 C1 20 01', 'F0 0F A3 00', 'F0 C3', 'F0 0F AF 00', 'F0 A4'];

/** Privileged or IOPL-sensitive at CPL 3: #GP(0). */
// prettier-ignore
const PRIVILEGED = [
  'F4', 'FA', 'FB', 'E4 60', 'E5 60', 'E6 80', 'E7 80', 'EC', 'ED', 'EE', 'EF', '6C', '6E', '0F 06', '0F 08', '0F 09', '0F 20 C0', '0F 22 C0',
  '0F 20 D8', '0F 21 C0', '0F 23 C0', '0F 30', '0F 32', '0F 01 38', '0F 01 10', '0F 01 18', '0F 01 F0', '0F 00 D0', '0F 00 D8', '0F 07',
];

/** Breakpoint: vector 3, RIP after it. */
const TRAPS = ['CC'];

const bytes = (text: string): number[] => text.split(' ').map((token) => Number.parseInt(token, 16));

const rowOf =
  (mnemonic: string) =>
  (text: string): Row => [mnemonic, text, { emit: (d: Draft) => prepareEmit(d, bytes(text)) }];

/** RAX points to memory, so that nothing but the encoding can be at fault. */
function prepareEmit(d: Draft, code: number[]): number[] {
  for (const n of [0, 6, 7]) d.setRegister(n, 0x20000400n);
  return [...code, 0, 0, 0, 0, 0, 0].slice(0, Math.max(code.length, 8));
}

export const INVALID_FORMS = formsOf('invalid', [
  ...UNDEFINED.map(rowOf('undefined')),
  ...LOCKED.map(rowOf('locked')),
  ...PRIVILEGED.map(rowOf('privileged')),
  ...TRAPS.map(rowOf('int3')),
]);
