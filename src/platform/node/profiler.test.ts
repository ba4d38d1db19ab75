// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionsOf, startProfile } from './profiler.ts';
import type { CallNode } from './profiler.ts';

const SOURCES = new URL('../../', import.meta.url).href;

function node(id: number, functionName: string, url: string, ...children: number[]): CallNode {
  return { id, callFrame: { functionName, url }, children };
}

describe('samples of a thread', () => {
  const nodes = [
    node(1, '(root)', '', 2, 3, 7),
    node(2, '(idle)', ''),
    node(3, 'run', `${SOURCES}cli/run.ts`, 4, 6),
    node(4, 'region', 'wasm://wasm/regions-1', 5),
    node(5, 'wasm-to-js', ''),
    node(6, 'region', 'wasm://wasm/regions-1'),
    node(7, '(garbage collector)', ''),
  ];

  it('are summed by function, with the file that called what has none; sleep is left out', () => {
    const functions = functionsOf({ nodes, samples: [3, 2, 4, 5, 6, 7], timeDeltas: [1, 100, 2, 3, 4, 5] });
    assert.deepEqual(functions, [
      { name: 'run', file: 'cli/run.ts', caller: 'cli/run.ts', microseconds: 1 },
      { name: 'region', file: 'wasm://wasm/regions-1', caller: 'wasm://wasm/regions-1', microseconds: 6 },
      { name: 'wasm-to-js', file: '', caller: 'wasm://wasm/regions-1', microseconds: 3 },
      { name: '(garbage collector)', file: '', caller: '', microseconds: 5 },
    ]);
  });
});

describe('a profile', () => {
  it('says where the thread was, and what processor time that took', async () => {
    const stop = await startProfile();
    const begin = process.threadCpuUsage();
    const seconds = ({ user, system }: NodeJS.CpuUsage) => (user + system) / 1e6;
    while (seconds(process.threadCpuUsage(begin)) < 0.1);
    const { before, mainThread, otherThreads, functions } = stop();
    assert.ok(mainThread >= 0.1 && before > 0 && otherThreads >= 0);
    assert.ok(functions.some(({ file }) => file === 'platform/node/profiler.test.ts'));
  });
});
