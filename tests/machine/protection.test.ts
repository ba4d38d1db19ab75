// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SteppedMachine } from '../oracle/machine-adapter.ts';
import { ENTRY, assembleImage, whyNoAssembler } from '../oracle/qemu/qemu.ts';

const [DEBUG, STACK, PROTECTION, ALIGNMENT] = [1, 12, 13, 17];
/** What the image logs where an exception has no error code. */
const NO_CODE = 0xffff;
const ENTRIES = 64;
const COUNTS = 5;

/** Vector and error code of the numbered items of protection.asm; some are logged twice, some not numbered. */
// prettier-ignore
const EXPECTED: readonly [string, number, number, number][] = [
  ['limits, upwards',                          1, 11, PROTECTION],
  ['null, read-only and code segments',       12, 16, PROTECTION],
  ['limits, downwards',                       17, 23, PROTECTION],
  ['a far jump beyond the limit, then code',  24, 24, PROTECTION],
  ['an instruction across the limit',         24, 24, PROTECTION],
  ['near jumps and a call beyond it',         25, 27, PROTECTION],
  ['code breakpoints',                        27, 27, DEBUG],
  ['code breakpoints',                        27, 27, DEBUG],
  ['the stack of ring 3',                     28, 35, STACK],
  ['an operand in the stack segment',         35, 35, STACK],
  ['alignment',                               36, 42, ALIGNMENT],
];

describe('what QEMU does not check', { skip: whyNoAssembler() ?? false }, () => {
  const image = assembleImage(join(import.meta.dirname, 'protection.asm'));
  const stepped = new SteppedMachine();
  stepped.load(ENTRY, image);
  stepped.setRegisters(new Map([['cs', 0n], ['rip', BigInt(ENTRY)]])); // prettier-ignore
  const outcome = stepped.machine.run(100_000);
  const words = new Uint32Array(1 + 2 + COUNTS + ENTRIES);
  stepped.machine.memory.read(ENTRY + image.length - words.byteLength, new Uint8Array(words.buffer));
  const [logged] = words;
  const entries = words.subarray(1 + 2 + COUNTS, 1 + 2 + COUNTS + logged);

  test('limits, null selectors, types, alignment: each refusal has its vector and error code, and nothing else is refused', () => {
    assert.equal(outcome.kind, 'idle');
    const expected = EXPECTED.flatMap(([what, from, to, vector]) =>
      Array.from({ length: to - from + 1 }, (_, i) => ({
        what,
        item: from + i,
        vector,
        code: vector === DEBUG ? NO_CODE : 0,
      })),
    );
    const got = [...entries].map((entry, i) => ({
      what: expected[i]?.what,
      item: entry >>> 24,
      vector: (entry >>> 16) & 0xff,
      code: entry & 0xffff,
    }));
    assert.deepEqual(got, expected);
  });

  test('a breakpoint stops before its instruction, and RF lets it pass', () => {
    const [, status, executed] = words;
    assert.equal(status & 0xf, 3, 'DR6 has both');
    assert.equal(executed, 2);
  });

  test('what was refused has changed nothing; a repeated string keeps what it did', () => {
    const [countLeft, index, written, afterPushad, afterEnter] = words.subarray(3);
    assert.equal(countLeft, 4);
    assert.equal(index, 0x1000);
    assert.equal(written, 0);
    assert.equal(afterPushad, 0x10);
    assert.equal(afterEnter, 0x10);
  });
});
