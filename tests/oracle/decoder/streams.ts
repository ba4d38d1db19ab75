// SPDX-License-Identifier: Apache-2.0
import { opcodeTable } from '../../../src/arch/instructions/table.ts';
import { DecodeStatus, decode } from '../../../src/decode/decoder.ts';
import { Instruction } from '../../../src/decode/instruction.ts';
import type { CodeSize } from '../../../src/decode/instruction.ts';
import type { Comparison } from './compare.ts';
import { SIZES, SLOT } from './sources.ts';
import type { ByteSource } from './sources.ts';

/** How many slots are decoded together. */
const BATCH = 4096;

/** A linear sweep: the next instruction is where this one ends, or a byte further where there is none (data, say). */
export function sweep(comparison: Comparison, section: Uint8Array, size: CodeSize): void {
  let place = -1;
  comparison.run(section, size, (length) => {
    place += place < 0 ? 1 : Math.max(length, 1);
    return place < section.length ? place : -1;
  });
}

/** `count` slots at least, in turns in the three code sizes; `fill` writes one. */
function slots(
  comparison: Comparison,
  count: number,
  fill: (out: Uint8Array, at: number, size: CodeSize) => void,
): void {
  const bytes = new Uint8Array(BATCH * SLOT);
  for (let done = 0, turn = 0; done < count; done += BATCH, turn++) {
    const size = SIZES[turn % SIZES.length];
    for (let at = 0; at < bytes.length; at += SLOT) fill(bytes, at, size);
    let next = -SLOT;
    comparison.run(bytes, size, () => ((next += SLOT) < bytes.length ? next : -1));
  }
}

/** Random bytes; every other one selects a row of the table, in turns. */
export function randomStreams(comparison: Comparison, source: ByteSource, count: number): void {
  let turn = 0;
  slots(comparison, count, (out, at, size) => {
    if (turn++ % 2 === 0) source.random(out, at);
    else source.row(out, at, opcodeTable[(turn >> 1) % opcodeTable.length], size);
  });
}

const real = new Instruction();

/** Some instruction of 64-bit code: a few after any byte decoding is in step with the code again. */
function anyInstruction(source: ByteSource, section: Uint8Array): number {
  let place = source.below(section.length - 16 * SLOT);
  for (let n = 0; n < 8; n++) {
    const status = decode(section, place, section.length, 64, real);
    place += status === DecodeStatus.OK ? real.length : 1;
  }
  while (decode(section, place, section.length, 64, real) !== DecodeStatus.OK) place++;
  return place;
}

/** Instructions of real 64-bit code, each changed a little, in all three code sizes. */
export function mutatedStreams(comparison: Comparison, source: ByteSource, section: Uint8Array, count: number): void {
  slots(comparison, count, (out, at) => {
    const place = anyInstruction(source, section);
    source.mutated(out, at, section, place, real.length);
  });
}
