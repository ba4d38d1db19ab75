// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { UserError } from '../../base/errors.ts';
import { EscapeFilter } from './escape.ts';
import { attachTerminal } from './terminal.ts';

class FakeInput extends EventEmitter {
  isTTY = true;
  raw: boolean[] = [];
  setRawMode(raw: boolean): void {
    this.raw.push(raw);
  }
  resume(): void {}
  pause(): void {}
}

class FakeProcess extends EventEmitter {
  status: number | undefined;
  exit(status: number): void {
    if (this.status !== undefined) return;
    this.status = status;
    this.emit('exit');
  }
}

function typed(filter: EscapeFilter, ...chunks: string[]) {
  const results = chunks.map((chunk) => filter.accept(Buffer.from(chunk)));
  return {
    guest: results.map(({ guest }) => Buffer.from(guest).toString()).join(''),
    commands: results.flatMap(({ commands }) => commands),
  };
}

// prettier-ignore
const TYPED: readonly [what: string, chunks: string[], guest: string, commands: string[]][] = [
  ['plain keys',               ['ls\r', '\u0003x'],         'ls\r\u0003x', []],
  ['leave',                    ['a\u0001x'],                'a',           ['leave']],
  ['leave in two chunks',      ['a\u0001', 'xb'],           'a',           ['leave']],
  ['nothing after leave',      ['\u0001xabc'],              '',            ['leave']],
  ['Ctrl-A itself',            ['\u0001\u0001x'],           '\u0001x',     []],
  ['help, then on',            ['\u0001hx'],                'x',           ['help']],
  ['a key that means nothing', ['\u0001qx'],                'x',           []],
];

for (const [what, chunks, guest, commands] of TYPED) {
  test(`typed: ${what}`, () => assert.deepEqual(typed(new EscapeFilter(), ...chunks), { guest, commands }));
}

test('keys and commands arrive; the terminal is raw in between', () => {
  const [input, target] = [new FakeInput(), new FakeProcess()];
  const seen: string[] = [];
  const detach = attachTerminal(
    { onKeys: (bytes) => seen.push(Buffer.from(bytes).toString()), onCommand: (command) => seen.push(command) },
    input,
    target,
  );
  input.emit('data', Buffer.from('ls\u0001x'));
  detach();
  detach();
  input.emit('data', Buffer.from('ignored'));
  assert.deepEqual(seen, ['ls', 'leave']);
  assert.deepEqual(input.raw, [true, false]);
  assert.deepEqual(target.eventNames(), []);
});

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal}: restored, status ${status}`, () => {
    const [input, target] = [new FakeInput(), new FakeProcess()];
    attachTerminal({ onKeys: () => {}, onCommand: () => {} }, input, target);
    target.emit(signal);
    assert.equal(target.status, status);
    assert.deepEqual(input.raw, [true, false]);
  });

  test(`${signal}: a real process`, async () => {
    const code = `import { exitOnSignals, restoredAtExit } from ${JSON.stringify(new URL('./signals.ts', import.meta.url).href)};
      exitOnSignals(); restoredAtExit(() => console.log('restored')); setInterval(() => {}, 1000); console.log('ready');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (output === '') child.kill(signal);
      output += chunk.toString();
    });
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), status);
    assert.equal(output, 'ready\nrestored\n');
  });
}

test('without a terminal there is a way out', () => {
  const input = new FakeInput();
  input.isTTY = false;
  assert.throws(
    () => attachTerminal({ onKeys: () => {}, onCommand: () => {} }, input, new FakeProcess()),
    (error) => error instanceof UserError && /--batch/.test(error.hint),
  );
  assert.deepEqual(input.raw, []);
});
