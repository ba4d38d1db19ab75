// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';

/** Near jumps with an 8-bit displacement, and the two with a 16-bit one. */
// prettier-ignore
const JUMP_OPCODES = {
  jb: [0x72], jae: [0x73], je: [0x74], jne: [0x75], loop: [0xe2], jmp: [0xeb], 'jmp near': [0xe9], call: [0xe8],
} as const;
export type Jump = keyof typeof JUMP_OPCODES;
const isNear = (jump: Jump): boolean => jump === 'jmp near' || jump === 'call';

/** One line of a listing: a label; an instruction as text and bytes; a jump to a label; data. */
export type Line =
  | { readonly label: string }
  | { readonly text: string; readonly bytes: readonly number[] }
  | { readonly jump: Jump; readonly to: string }
  | { readonly data: readonly number[] };

export const label = (name: string): Line => ({ label: name });
export const code = (text: string, ...bytes: number[]): Line => ({ text, bytes });
export const jump = (mnemonic: Jump, to: string): Line => ({ jump: mnemonic, to });

/** 16-bit immediate in two bytes. */
export const imm16 = (value: number): [number, number] => [value & 0xff, (value >> 8) & 0xff];

export interface AssembledCode {
  readonly bytes: Uint8Array;
  /** Offset of each label from the start of the segment. */
  readonly labels: ReadonlyMap<string, number>;
}

/**
 * Puts hand-encoded lines one after another from segment offset `origin` and fills in the jumps.
 * A test disassembles every line and compares it with its text, so text and bytes cannot drift apart.
 */
export function assemble(lines: readonly Line[], origin: number): AssembledCode {
  const labels = new Map<string, number>();
  let at = origin;
  for (const line of lines) {
    if ('label' in line) {
      assert(!labels.has(line.label), `label ${line.label} twice`);
      labels.set(line.label, at);
    }
    at += lineLength(line);
  }
  const bytes: number[] = [];
  for (const line of lines) bytes.push(...encode(line, origin + bytes.length, labels));
  return { bytes: Uint8Array.from(bytes), labels };
}

export function lineLength(line: Line): number {
  if ('label' in line) return 0;
  if ('jump' in line) return isNear(line.jump) ? 3 : 2;
  return 'data' in line ? line.data.length : line.bytes.length;
}

function encode(line: Line, at: number, labels: ReadonlyMap<string, number>): readonly number[] {
  if ('label' in line) return [];
  if ('data' in line) return line.data;
  if ('bytes' in line) return line.bytes;
  const target = labels.get(line.to);
  assert(target !== undefined, `no label ${line.to}`);
  const distance = target - (at + lineLength(line));
  if (isNear(line.jump)) return [...JUMP_OPCODES[line.jump], ...imm16(distance)];
  assert(distance >= -128 && distance <= 127, `${line.jump} ${line.to} is ${distance} bytes away`);
  return [...JUMP_OPCODES[line.jump], distance & 0xff];
}
