// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { UserError } from '../../src/base/errors.ts';
import type { Case, CaseInput, MemoryBytes, Outcome } from './case.ts';
import type { UserState } from './cpu-under-test.ts';
import { makeCase } from './make-case.ts';
import { FORMS } from './forms.ts';
import { encodeCases, readState, STATE_BYTES, writeState } from './records.ts';

// A file holds what the processor answered. The questions are not in it: they come from the forms and a seed, and a
// digest says whether they are still the same.
//   "TOV1", seed u32, forms u16, then per form: name u8+text, count u16, digest 8 bytes, count outcomes
//   outcome  head u8 (0: completed; else vector + 1), [error code u32, address u64 if a fault], spans, writes u8, writes as in records.ts
//   spans    where the state differs from the case's: skip u8, length u8, bytes; skip 255 continues; 0 0 ends

const MAGIC = 0x31564f54;
const VECTORS = join(import.meta.dirname, 'vectors');
const MERGE_GAP = 2;

class Writer {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  raw(bytes: ArrayLike<number>): void {
    if (this.#length + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array((this.#length + bytes.length) * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  number(value: number | bigint, bytes: number): void {
    const wide = BigInt(value);
    this.raw(Array.from({ length: bytes }, (_, n) => Number((wide >> BigInt(8 * n)) & 0xffn)));
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  raw(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(bytes: number): number {
    return Number(this.wide(bytes));
  }

  wide(bytes: number): bigint {
    return this.raw(bytes).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
}

/** Eight bytes that change when the questions change. */
function digestOf(cases: readonly CaseInput[]): Uint8Array {
  return createHash('sha256').update(encodeCases(cases)).digest().subarray(0, 8);
}

/** The state with its x87 registers in physical order: a push or a change of TOP then moves nothing. */
function stateBytes(state: UserState): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES);
  writeState(new DataView(bytes.buffer), 0, { ...state, st: rotate(state.st, -topOf(state)) });
  return bytes;
}

function stateOf(bytes: Uint8Array): UserState {
  const state = readState(new DataView(bytes.buffer), 0);
  return { ...state, st: rotate(state.st, topOf(state)) };
}

const topOf = (state: UserState): number => (state.fsw >> 11) & 7;

/** Register n of the result is register (n + by) modulo 8 of `st`. */
function rotate(st: Uint8Array, by: number): Uint8Array {
  return Uint8Array.from(st, (_, at) => st[(at + 16 * by) & 127]);
}

function writeSpans(writer: Writer, from: Uint8Array, to: Uint8Array): void {
  let last = 0;
  for (let at = 0; at < STATE_BYTES; at++) {
    if (from[at] === to[at]) continue;
    let end = at + 1;
    for (let next = end; next < STATE_BYTES && next < end + MERGE_GAP && next < at + 255; next++)
      if (from[next] !== to[next]) end = next + 1;
    for (; at - last >= 255; last += 255) writer.raw([255, 0]);
    writer.raw([at - last, end - at]);
    writer.raw(to.subarray(at, end));
    last = end;
    at = end - 1;
  }
  writer.raw([0, 0]);
}

function readSpans(reader: Reader, state: Uint8Array): void {
  for (let at = 0; ;) {
    const skip = reader.number(1);
    const length = reader.number(1);
    if (skip === 0 && length === 0) return;
    at += skip;
    state.set(reader.raw(length), at);
    at += length;
  }
}

function writeOutcome(writer: Writer, input: CaseInput, outcome: Outcome): void {
  const { fault } = outcome;
  writer.number(fault ? fault.vector + 1 : 0, 1);
  if (fault) {
    writer.number(fault.errorCode, 4);
    writer.number(fault.address, 8);
  }
  writeSpans(writer, stateBytes(input.state), stateBytes(outcome.state));
  writer.number(outcome.writes.length, 1);
  for (const { address, bytes } of outcome.writes) {
    writer.number(address, 8);
    writer.number(bytes.length, 2);
    writer.raw(bytes);
  }
}

function readOutcome(reader: Reader, input: CaseInput): Outcome {
  const head = reader.number(1);
  const fault = head ? { vector: head - 1, errorCode: reader.number(4), address: reader.wide(8) } : undefined;
  const bytes = stateBytes(input.state);
  readSpans(reader, bytes);
  const state = stateOf(bytes);
  const writes = Array.from({ length: reader.number(1) }, (): MemoryBytes => {
    const address = reader.wide(8);
    return { address, bytes: reader.raw(reader.number(2)).slice() };
  });
  return fault ? { fault, state, writes } : { state, writes };
}

/** A vector file's bytes (not compressed): for each form, the outcomes of its first cases. */
export function encodeVectors(seed: number, forms: readonly { name: string; cases: readonly Case[] }[]): Uint8Array {
  const writer = new Writer();
  writer.number(MAGIC, 4);
  writer.number(seed, 4);
  writer.number(forms.length, 2);
  for (const { name, cases } of forms) {
    writer.number(name.length, 1);
    writer.raw(new TextEncoder().encode(name));
    writer.number(cases.length, 2);
    writer.raw(digestOf(cases));
    for (const test of cases) writeOutcome(writer, test, test.expected);
  }
  return writer.done();
}

/** Names of the committed vector files. */
export function vectorNames(): string[] {
  const files = readdirSync(VECTORS).filter((file) => file.endsWith('.vec.gz'));
  return files.map((file) => file.slice(0, -'.vec.gz'.length)).sort();
}

/** The cases of a vector file, with what the processor answered; only of forms whose full name is `wanted`. */
export function* loadVectors(name: string, wanted: (form: string) => boolean = () => true): Generator<Case> {
  yield* decodeVectors(gunzipSync(readFileSync(join(VECTORS, `${name}.vec.gz`))), name, wanted);
}

/** Inverse of `encodeVectors`; refuses outcomes whose questions have changed since. */
export function* decodeVectors(
  bytes: Uint8Array,
  name: string,
  wanted: (form: string) => boolean = () => true,
): Generator<Case> {
  const reader = new Reader(bytes);
  if (reader.number(4) !== MAGIC) throw stale(name, 'it is not a vector file');
  const seed = reader.number(4);
  const count = reader.number(2);
  const byName = new Map(FORMS.map((form) => [form.name, form]));
  for (let n = 0; n < count; n++) {
    const formName = new TextDecoder().decode(reader.raw(reader.number(1)));
    const form = byName.get(formName);
    if (!form) throw stale(name, `it has a form "${formName}" that is gone`);
    const inputs = Array.from({ length: reader.number(2) }, (_, index) => makeCase(form, seed, index));
    const digest = reader.raw(8);
    if (Buffer.compare(digest, digestOf(inputs)) !== 0) throw stale(name, `the cases of "${formName}" have changed`);
    for (const input of inputs) {
      const expected = readOutcome(reader, input);
      if (wanted(formName)) yield { ...input, expected };
    }
  }
}

function stale(name: string, why: string): UserError {
  return new UserError(
    `the vectors ${name} are stale: ${why}`,
    'run node tests/oracle/make-vectors.ts on a Linux x86-64 computer with gcc',
  );
}
