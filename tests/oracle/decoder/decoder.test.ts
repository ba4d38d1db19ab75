// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { opcodeTable } from '../../../src/arch/instructions/table.ts';
import { DecodeStatus } from '../../../src/decode/decoder.ts';
import { Comparison } from './compare.ts';
import { libcSections, whyNoLibc } from './images.ts';
import { ByteSource, SIZES, SLOT } from './sources.ts';
import { mutatedStreams, randomStreams, sweep } from './streams.ts';

/** Our decoder beside iced-x86, an independent one: same length, name, prefixes and operands, or both undefined. */

const SEED = 0x2545f491;

function report(comparison: Comparison): void {
  assert.deepEqual([...comparison.differences.values()].slice(0, 40), []);
}

test('every row of the table is reached, and read as iced-x86 reads it', () => {
  const comparison = new Comparison();
  const source = new ByteSource(SEED);
  const reached = new Set<number>();
  const bytes = new Uint8Array(SLOT);
  for (const row of opcodeTable) {
    for (let n = 0; n < 48; n++) {
      source.row(bytes, 0, row, SIZES[n % 3]);
      if (comparison.one(bytes, SIZES[n % 3]) === DecodeStatus.OK) reached.add(comparison.ours.opcode.id);
    }
  }
  report(comparison);
  const missed = opcodeTable.filter((row) => !reached.has(row.id)).map((row) => `${row.encoding} ${row.mnemonic}`);
  assert.deepEqual(missed, [], 'rows that no bytes reach');
});

test('400,000 random instructions', () => {
  const comparison = new Comparison();
  randomStreams(comparison, new ByteSource(SEED), 400_000);
  report(comparison);
  assert.ok(comparison.defined > 250_000, `${comparison.defined} defined`);
});

describe("this machine's C library", { skip: whyNoLibc() ?? false }, () => {
  test('each of its instructions', () => {
    const comparison = new Comparison();
    for (const section of libcSections()) sweep(comparison, section, 64);
    report(comparison);
    assert.ok(comparison.defined > 200_000, `${comparison.defined} defined`);
  });

  test('300,000 of its instructions, changed a little', () => {
    const comparison = new Comparison();
    const longest = libcSections().toSorted((a, b) => b.length - a.length)[0];
    mutatedStreams(comparison, new ByteSource(SEED), longest, 300_000);
    report(comparison);
    assert.ok(comparison.defined > 200_000, `${comparison.defined} defined`);
  });
});

test('a mistake is found: each of four decodings made wrong', () => {
  const wrong: readonly [readonly number[], (ours: Comparison['ours']) => void][] = [
    [[0x48, 0x01, 0xd8], (ours) => (ours.operands[0].register = 1)],
    [[0x8b, 0x44, 0x88, 0x10], (ours) => (ours.memory.scale = 1)],
    [[0xf0, 0x01, 0x18], (ours) => (ours.lock = false)],
    [[0xb8, 1, 2, 3, 4], (ours) => (ours.immediateLow = 5)],
  ];
  for (const [bytes, change] of wrong) {
    const comparison = new Comparison();
    comparison.spoil = change;
    comparison.one(Uint8Array.from([...bytes, ...new Array<number>(20).fill(0x90)]), 64);
    assert.equal(comparison.differences.size, 1, bytes.join(' '));
  }
});
