// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JournalWriter, slicesOf } from './journal.ts';

describe('the journal of a run', () => {
  it('gives back its slices in order, each with what came before it', () => {
    const writer = new JournalWriter();
    writer.input(0, [1]);
    for (const ticks of [100, 100, 100, 7]) writer.slice(ticks);
    writer.input(1, [2, 3]);
    writer.input(0, [4]);
    writer.reset();
    writer.slice(100);
    const { journal } = writer;
    assert.deepEqual(journal.slices, [
      [100, 3],
      [7, 1],
      [100, 1],
    ]);
    const played = [...slicesOf(JSON.parse(JSON.stringify(journal)) as typeof journal)];
    assert.deepEqual(
      played.map(({ ticks, inputs, reset }) => [
        ticks,
        reset,
        ...inputs.map(({ console, bytes }) => [console, ...bytes]),
      ]),
      [
        [100, false, [0, 1]],
        [100, false],
        [100, false],
        [7, false],
        [100, true, [1, 2, 3], [0, 4]],
      ],
    );
  });

  it('is a copy: what comes later does not change it', () => {
    const writer = new JournalWriter();
    writer.slice(5);
    const { journal } = writer;
    writer.slice(5);
    assert.deepEqual(journal.slices, [[5, 1]]);
  });
});
