// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { NOTHING, ROWS } from './rows.ts';

const source = (name: string): string => readFileSync(new URL(`../guests/bench/${name}`, import.meta.url), 'utf8');

describe('the guest program', () => {
  it('has exactly the rows of the table', () => {
    const names = [...source('main.c').matchAll(/\{"(\w+)", row_(\w+)\}/g)].map(([, name, run]) => {
      assert.equal(name, run);
      return name!;
    });
    assert.deepEqual(names, [NOTHING, ...ROWS.map(({ name }) => name)]);
  });

  it('does each thing as often as prices say', () => {
    const sizes = new Map(
      [...source('sizes.h').matchAll(/#define (\w+) (\d+)/g)].map(([, name, size]) => [name, Number(size)]),
    );
    for (const { name, times } of ROWS) {
      if (times !== undefined) assert.equal(sizes.get(`${name.toUpperCase()}_TIMES`), times, name);
    }
  });
});
