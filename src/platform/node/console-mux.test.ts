// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleMux, wantsColours } from './console-mux.ts';
import type { ConsoleLevel } from './console-mux.ts';

const L1: ConsoleLevel = { name: 'L1', colour: '36', mode: 'lines' };
const L2: ConsoleLevel = { name: 'L2', colour: '', mode: 'lines' };
const SHELL: ConsoleLevel = { ...L2, mode: 'raw' };

function shown(
  levels: ConsoleLevel[],
  colours: boolean,
  newline: '\n' | '\r\n',
  ...writes: [number, string][]
): string {
  let text = '';
  const mux = new ConsoleMux(levels, {
    write: (bytes) => void (text += Buffer.from(bytes).toString()),
    colours,
    newline,
  });
  for (const [level, bytes] of writes) mux.write(level, Buffer.from(bytes));
  mux.flush();
  return text;
}

test('lines of two levels do not mix; without colours they are named', () => {
  assert.equal(
    shown([L1, L2], false, '\n', [0, 'one '], [1, 'two\r\n'], [0, 'more\r\nrest']),
    'L2: two\nL1: one more\nL1: rest\n',
  );
});

test('colours instead of names; a level without one stays plain', () => {
  assert.equal(shown([L1, L2], true, '\n', [0, 'a\n'], [1, 'b\n']), '\u001b[36ma\u001b[0m\nb\n');
});

test('a shell is shown byte by byte, and a line of another level goes on its own', () => {
  assert.equal(
    shown([L1, SHELL], true, '\r\n', [1, '# l'], [0, 'x\n'], [1, 's'], [1, '\r\n']),
    '# l\r\n\u001b[36mx\u001b[0m\r\ns\r\n',
  );
});

test('bytes that make one character may come apart; endless lines are cut', () => {
  const [euro1, euro2] = [Buffer.from('€').subarray(0, 1), Buffer.from('€').subarray(1)];
  let text = '';
  const mux = new ConsoleMux([L1], {
    write: (bytes) => void (text += Buffer.from(bytes).toString()),
    colours: false,
    newline: '\n',
  });
  mux.write(0, euro1);
  mux.write(0, Buffer.concat([euro2, Buffer.from('\n')]));
  mux.write(0, Buffer.alloc(5000, 'x'));
  assert.equal(text, `L1: €\nL1: ${'x'.repeat(4096)}\n`);
});

test('when colours are wanted', () => {
  assert.equal(wantsColours({ isTTY: true }, {}), true);
  assert.equal(wantsColours({ isTTY: true }, { NO_COLOR: '1' }), false);
  assert.equal(wantsColours({ isTTY: true }, { NO_COLOR: '' }), true);
  assert.equal(wantsColours({ isTTY: true }, { TERM: 'dumb' }), false);
  assert.equal(wantsColours({}, {}), false);
});
