// SPDX-License-Identifier: Apache-2.0

import type { CaseInput, MemoryBytes } from './case.ts';
import { littleEndian } from './draft.ts';
import { CODE, DATA, STACK } from './memory-map.ts';
import { Random } from './random.ts';
import { createUserState } from './records.ts';
import { StreamEncoder } from './stream-encoder.ts';
import { interestingBytes, interestingRegister } from './values.ts';

const COUNTER = 15;
const BREAKPOINT = 0xcc;
const CONDITION_CODES = 0x4700;
const START = CODE + 0x200;

type Part = (stream: Stream, depth: number) => void;

/** A program of ten to fifty random instructions with branches, loops and calls, that ends with INT3 unless it faults. */
class Stream {
  readonly code: number[] = [];
  readonly random: Random;
  readonly #encoder: StreamEncoder;

  constructor(random: Random, described: boolean) {
    this.random = random;
    this.#encoder = new StreamEncoder(random, described);
  }

  get here(): number {
    return START + this.code.length;
  }

  emit(...bytes: number[]): void {
    this.code.push(...bytes);
  }

  plain(): void {
    this.emit(...this.#encoder.instruction(this.here));
  }

  /** Interesting values, flags of them, and at once what asks for the flags. */
  flagsAndUse(): void {
    this.emit(...this.#encoder.flagsAndUse());
  }

  piece(depth: number): void {
    const dice = this.random.below(100);
    if (dice < 14) return this.flagsAndUse();
    if (depth > 1 || dice < 80) return this.plain();
    this.random.pick(PARTS)(this, depth + 1);
  }

  subroutine(body: () => void): void {
    this.#encoder.inSubroutine = true;
    body();
    this.#encoder.inSubroutine = false;
  }

  /** The bytes that `body` emits, with what `head` gives for their length before them. */
  around(head: (length: number) => number[], body: () => void): void {
    const at = this.code.length;
    const headLength = head(0).length;
    this.emit(...head(0));
    body();
    const length = this.code.length - at - headLength;
    // A branch reaches 127 bytes; a longer body is passed over by nobody.
    this.code.splice(at, headLength, ...(length < 128 ? head(length) : head(0)));
  }
}

const some = (stream: Stream, depth: number): void => {
  for (let n = 1 + stream.random.below(4); n > 0; n--) stream.piece(depth);
};

const PARTS: readonly Part[] = [
  // Jcc over a few.
  (stream, depth) => {
    const opcode = 0x70 + stream.random.below(16);
    stream.around(
      (length) => [opcode, length],
      () => some(stream, depth),
    );
  },
  // MOV R15D, n; body; DEC R15D; JNZ body.
  (stream) => {
    stream.emit(0x41, 0xb8 + (COUNTER & 7), ...littleEndian(BigInt(1 + stream.random.below(12)), 4));
    const top = stream.code.length;
    for (let n = 1 + stream.random.below(5); n > 0; n--) stream.plain();
    stream.emit(0x41, 0xff, 0xcf, 0x0f, 0x85);
    stream.emit(...littleEndian(BigInt(top - (stream.code.length + 4)), 4));
  },
  // CALL the next; POP.
  (stream) => stream.emit(0xe8, 0, 0, 0, 0, 0x58 + stream.random.pick([0, 1, 2, 3, 5, 6, 7])),
  // CALL over a subroutine; JMP over it when it returns.
  (stream, depth) => {
    stream.emit(0xe8, 2, 0, 0, 0);
    stream.around(
      (length) => [0xeb, length],
      () => {
        stream.subroutine(() => some(stream, depth + 1));
        stream.emit(0xc3);
      },
    );
  },
  // LEA RAX, [RIP + 2]; JMP RAX.
  (stream) => stream.emit(0x48, 0x8d, 0x05, 2, 0, 0, 0, 0xff, 0xe0),
];

/**
 * The stream number `index` of a seed. `described`: only what has a description, with numbers and MXCSR as programs have
 * them, so that the reference can follow.
 */
export function makeStream(form: string, seed: number, index: number, described: boolean): CaseInput {
  const random = new Random(`${seed}/${form}/${index}`);
  const stream = new Stream(random, described);
  for (let n = 10 + random.below(30); n > 0; n--) stream.piece(0);
  stream.emit(BREAKPOINT);
  const state = createUserState();
  for (let n = 0; n < 16; n++) state.general[n] = interestingRegister(random, random.pick([1, 2, 4, 8]));
  StreamEncoder.setPointers(state.general);
  state.general[4] = BigInt(STACK + 0x1000 + 8 * random.below(16));
  state.rip = BigInt(START);
  state.rflags = BigInt(0x202 | (random.u32() & 0x8d5));
  fillUnits(state, random, described);
  const memory: MemoryBytes[] = [{ address: BigInt(DATA + 0x1000 - 0x200), bytes: fill(random, described) }];
  const allowance = { rflags: 0, general: 0, fsw: CONDITION_CODES, memory: [], errorCode: 0 };
  return { form, index, code: Uint8Array.from(stream.code), state, memory, repeat: false, stream: true, allowance };
}

function fill(random: Random, described: boolean): Uint8Array {
  const kinds = described
    ? (['f32-ordinary', 'f64-ordinary', 'vector'] as const)
    : (['f32', 'f64', 'vector', 'f80'] as const);
  const bytes = new Uint8Array(0x400);
  for (let at = 0; at < bytes.length; at += 16) bytes.set(interestingBytes(random, random.pick(kinds), 16), at);
  return bytes;
}

function fillUnits(state: CaseInput['state'], random: Random, described: boolean): void {
  const kinds = described ? (['f32-ordinary', 'f64-ordinary', 'vector'] as const) : (['f32', 'f64', 'vector'] as const);
  for (let n = 0; n < 16; n++) state.xmm.set(interestingBytes(random, random.pick(kinds), 16), 16 * n);
  for (let n = 0; n < 8; n++) state.st.set(interestingBytes(random, 'f80', 10), 16 * n);
  state.ftw = random.chance(70) ? 0xff : random.below(256);
  state.fsw = random.below(8) << 11;
  // Invalid operations stay masked: FCOMI after one sets flags on AMD's processors only.
  const masks = random.chance(92) ? 0x3f : 1 | (random.u32() & 0x3e);
  state.fcw =
    0x40 |
    masks |
    (random.chance(70) ? 0x300 : random.pick([0, 0x200])) |
    (random.chance(40) ? random.u32() & 0xc00 : 0);
  const unusual = (random.chance(50) ? random.u32() & 0x6000 : 0) | (random.chance(15) ? 0x8040 : 0);
  const unmasked = random.chance(10) ? random.u32() & 0x1f80 : 0;
  state.mxcsr = described || random.chance(50) ? 0x1fa0 : (0x1f80 ^ unmasked) | unusual;
}
