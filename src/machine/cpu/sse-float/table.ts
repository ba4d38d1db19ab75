// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { APPROXIMATE } from './approximate.ts';
import { ARITHMETIC } from './arithmetic.ts';
import { COMPARISONS } from './compare.ts';
import { CONVERT, CONVERT_WIDE } from './convert.ts';
import { HORIZONTAL } from './horizontal.ts';
import { ROUND } from './round.ts';
import { SseFloatUnit } from './unit.ts';
import type { SseFloatInstruction } from './unit.ts';

/** Every floating-point instruction of SSE to SSE4.1 that computes; moves, shuffles and bitwise logic are none. */
const INSTRUCTIONS: ReadonlyMap<string, SseFloatInstruction> = new Map(
  [ARITHMETIC, COMPARISONS, CONVERT, HORIZONTAL, ROUND, APPROXIMATE].flat().map((row) => [row.mnemonic, row]),
);
const WIDE_INSTRUCTIONS: ReadonlyMap<string, SseFloatInstruction> = new Map(
  CONVERT_WIDE.map((row) => [row.mnemonic, row]),
);

export function isSseFloat(mnemonic: string): boolean {
  return INSTRUCTIONS.has(mnemonic);
}

/** Looks up an instruction; `wide` chooses the form with a 64-bit general register, where there is one. */
export function sseFloatInstruction(mnemonic: string, wide = false): SseFloatInstruction {
  const row = (wide ? WIDE_INSTRUCTIONS.get(mnemonic) : undefined) ?? INSTRUCTIONS.get(mnemonic);
  assert(row, `no floating-point SSE instruction ${mnemonic}`);
  return row;
}

/** What one instruction did. */
export interface SseFloatOutcome {
  readonly mxcsr: number;
  /** An exception is unmasked: `result` is the destination as it was. */
  readonly fault: boolean;
  /** 16 bytes; a general or MMX destination is the first 8. */
  readonly result: Uint8Array;
  readonly eflags: number;
}

/** The same over separate bytes, for tests and cold callers: `destination` and `source` have up to 16 bytes and are not changed. */
export function executeSseFloat(
  instruction: SseFloatInstruction,
  destination: Uint8Array,
  source: Uint8Array,
  immediate: number,
  mxcsr: number,
): SseFloatOutcome {
  const bytes = new Uint8Array(32);
  bytes.set(destination);
  bytes.set(source, 16);
  const unit = new SseFloatUnit(bytes.buffer);
  const fault = unit.execute(instruction, 0, 16, immediate, mxcsr);
  return { mxcsr: unit.mxcsr, fault, result: bytes.slice(0, 16), eflags: unit.eflags };
}
