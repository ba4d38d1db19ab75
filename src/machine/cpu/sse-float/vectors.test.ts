// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { sseFloatInstruction } from './table.ts';
import { SseFloatUnit } from './unit.ts';
import type { SseFloatInstruction } from './unit.ts';

const POOL = 256;
const MODES = 32;
const SOURCE = 16;
/** Flags byte of a case: MXCSR 5:0, and whether the instruction faulted. */
const FAULTED = 0x40;
const COMPARED = 0x45;

const bytes = new Uint8Array(gunzipSync(readFileSync(new URL('../softfloat/vectors/sse.bin.gz', import.meta.url))));
const view = new DataView(bytes.buffer);

/** Consumes the file in order. */
class Reader {
  at = 0;

  take(length: number): Uint8Array {
    this.at += length;
    return bytes.subarray(this.at - length, this.at);
  }

  u32(): number {
    this.at += 4;
    return view.getUint32(this.at - 4, true);
  }
}

interface Form {
  readonly name: string;
  readonly instruction: SseFloatInstruction;
  readonly immediate: number;
  /** Kind (a pool) and number of elements of the two operands; kind n is none. */
  readonly destination: { kind: string; count: number };
  readonly source: { kind: string; count: number };
  readonly resultBytes: number;
}

/** A name that ends in q stands for the form with a 64-bit general register. */
function readForm(reader: Reader): Form {
  const name = String.fromCharCode(...reader.take(12)).replaceAll('\0', '');
  const [immediate, destination, destinationCount, source, sourceCount, resultBytes] = reader.take(8);
  return {
    name,
    instruction: sseFloatInstruction(name.replace(/q$/, ''), name.endsWith('q')),
    immediate,
    destination: { kind: String.fromCharCode(destination), count: destinationCount },
    source: { kind: String.fromCharCode(source), count: sourceCount },
    resultBytes,
  };
}

/** Runs every case of the file; gives descriptions of those that differ, and how many there were. */
function runAll(change: (instruction: SseFloatInstruction) => SseFloatInstruction): {
  total: number;
  differing: string[];
} {
  const reader = new Reader();
  const pools: Record<string, { width: number; elements: Uint8Array }> = {};
  for (const [kind, width] of [
    ['s', 4],
    ['d', 8],
    ['i', 4],
    ['q', 8],
  ] as const)
    // prettier-ignore
    pools[kind] = { width, elements: reader.take(width * POOL) };
  const modes = Array.from({ length: MODES }, () => reader.u32());
  const forms = reader.u32();
  const cases = reader.u32();
  const memory = new Uint8Array(32);
  const unit = new SseFloatUnit(memory.buffer);
  const differing: string[] = [];

  function place(offset: number, { kind, count }: Form['source']): void {
    memory.fill(0, offset, offset + 16);
    reader.take(count).forEach((index, n) => {
      const { width, elements } = pools[kind];
      memory.set(elements.subarray(index * width, (index + 1) * width), offset + n * width);
    });
  }

  for (let f = 0; f < forms; f++) {
    const form = readForm(reader);
    const instruction = change(form.instruction);
    for (let n = 0; n < cases; n++) {
      const mxcsr = modes[reader.take(1)[0]];
      place(0, form.destination);
      place(SOURCE, form.source);
      const wanted = reader.take(form.resultBytes);
      const flags = reader.take(1)[0];
      const before = memory.slice();
      const faulted = unit.execute(instruction, 0, SOURCE, form.immediate, mxcsr);
      const same =
        faulted === ((flags & FAULTED) !== 0) &&
        unit.mxcsr === (mxcsr | (flags & 0x3f)) &&
        (faulted
          ? memory.every((byte, i) => byte === before[i])
          : instruction.destination === 'flags'
            ? unit.eflags === (wanted[0] & COMPARED)
            : wanted.every((byte, i) => memory[i] === byte));
      if (!same) differing.push(`${form.name} ${form.immediate} case ${n}, MXCSR ${mxcsr.toString(16)}`);
    }
  }
  assert.equal(reader.at, bytes.length);
  return { total: forms * cases, differing };
}

describe('floating-point SSE against a real processor', () => {
  it('gives the same results, flags and faults', () => {
    const { total, differing } = runAll((instruction) => instruction);
    assert.equal(total, 133 * 60);
    assert.deepEqual(differing, []);
  });

  it('gives them on the exact path too', () => {
    const { differing } = runAll(({ fast: _fast, ...instruction }) => instruction);
    assert.deepEqual(differing, []);
  });
});
