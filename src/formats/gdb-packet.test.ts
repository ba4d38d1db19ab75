// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { encodeGdbPacket, GdbDecoder, gdbHex, gdbText, gdbUnhex, type GdbInput } from './gdb-packet.ts';

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const decode = (...pieces: string[]): GdbInput[] => {
  const decoder = new GdbDecoder();
  return pieces.flatMap((piece) => [...decoder.push(ascii(piece))]);
};
const payloads = (inputs: GdbInput[]): string[] =>
  inputs.map((input) => (input.kind === 'packet' ? gdbText(input.payload) : input.kind));

describe('gdb packets', () => {
  test('are framed with the sum of their bytes', () => {
    assert.equal(gdbText(encodeGdbPacket('g')), '$g#67');
    assert.equal(gdbText(encodeGdbPacket('')), '$#00');
    assert.equal(gdbText(encodeGdbPacket('OK')), '$OK#9a');
  });

  test('escape the bytes that mean something', () => {
    assert.equal(gdbText(encodeGdbPacket('a#$}*b')), '$a}\x03}\x04}]}\nb#25');
  });

  test('come with acknowledgements, interrupts and noise in between', () => {
    assert.deepEqual(payloads(decode('+$OK#9a-\x03\n$#00')), ['acknowledged', 'OK', 'rejected', 'interrupt', '']);
  });

  test('may arrive in pieces', () => {
    assert.deepEqual(payloads(decode('$O', 'K', '#', '9', 'a+')), ['OK', 'acknowledged']);
  });

  test('with a wrong checksum are damaged, and the next one is not', () => {
    assert.deepEqual(payloads(decode('$OK#9b$OK#9a')), ['damaged', 'OK']);
  });

  test('a start inside a packet begins it again', () => {
    assert.deepEqual(payloads(decode('$garb$OK#9a')), ['OK']);
  });

  test('expand runs: the manual\'s example "0* " is "0000"', () => {
    assert.deepEqual(payloads(decode('$0* #7a')), ['0000']);
  });

  test('that end inside an escape or repeat nothing are damaged', () => {
    assert.deepEqual(payloads(decode('$}#7d', '$* #4a')), ['damaged', 'damaged']);
  });

  test('any payload survives, cut anywhere', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (payload, cut) => {
        const frame = encodeGdbPacket(payload);
        const decoder = new GdbDecoder();
        const at = cut % (frame.length + 1);
        const inputs = [...decoder.push(frame.subarray(0, at)), ...decoder.push(frame.subarray(at))];
        assert.deepEqual(inputs, [{ kind: 'packet', payload: Uint8Array.from(payload) }]);
      }),
    );
  });

  test('hexadecimal bytes', () => {
    assert.equal(gdbHex(Uint8Array.of(0, 0x1f, 0xff)), '001fff');
    assert.deepEqual(gdbUnhex('001fFF'), Uint8Array.of(0, 0x1f, 0xff));
    assert.equal(gdbUnhex('0'), undefined);
    assert.equal(gdbUnhex('0g'), undefined);
  });
});
