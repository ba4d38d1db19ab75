// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConsoleChannel } from './console-channel.ts';

const send = (console: ConsoleChannel, text: string) =>
  Buffer.from(text, 'latin1').forEach((byte) => console.send(byte));
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('ConsoleChannel', () => {
  it('gives each byte once, and keeps the transcript if it is to', () => {
    for (const keep of [true, false]) {
      const console = new ConsoleChannel(keep);
      send(console, 'one\n');
      assert.equal(text(console.take()), 'one\n');
      send(console, 'x'.repeat(10_000));
      assert.equal(console.take().length, 10_000);
      assert.equal(console.take().length, 0);
      assert.equal(console.sent, 10_004);
      assert.equal(console.transcript.length, keep ? 10_004 : 0);
    }
  });

  it('tells of lines, and of each byte of the unfinished one', () => {
    const console = new ConsoleChannel();
    const seen: string[] = [];
    console.listener = (line, complete) => seen.push(complete ? `[${line}]` : line);
    send(console, 'ab\r\nc\xe9');
    assert.deepEqual(seen, ['a', 'ab', 'ab', '[ab]', 'c', 'c\xe9']);
    assert.equal(console.unfinished, 'c\xe9');
  });

  it('has a tail without what only a terminal understands', () => {
    const console = new ConsoleChannel();
    for (let i = 0; i < 100; i++) send(console, `line ${i}\n`);
    send(console, '\u001b[6n\u001b[1;32m~ #\u001b[m ');
    assert.deepEqual(console.tail(3), ['line 98', 'line 99', '~ # ']);
  });

  it('hands out what was typed, byte by byte', () => {
    const console = new ConsoleChannel();
    console.type([1, 2]);
    assert.deepEqual([console.receive(), console.receive(), console.receive()], [1, 2, -1]);
  });
});
