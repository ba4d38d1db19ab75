// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { structure } from './structure.ts';
import type { Destination } from './structure.ts';

/** A tiny machine for structured code: nodes that ask an oracle which way to go. */
type Code =
  | { readonly kind: 'block' | 'loop'; readonly id: number; readonly body: Code[] }
  | { readonly kind: 'dispatch'; readonly number: number; readonly labels: readonly number[] }
  | { readonly kind: 'node'; readonly node: number; readonly to: ReadonlyMap<number, Destination<number>> };

function emit(successors: readonly (readonly number[])[], entry: number): Code[] {
  let ids = 0;
  const root: Code[] = [];
  const stack = [root];
  const openLabels: number[] = [];
  const begin = (kind: 'block' | 'loop'): number => {
    const id = ids++;
    const body: Code[] = [];
    stack[stack.length - 1].push({ kind, id, body });
    stack.push(body);
    openLabels.push(id);
    return id;
  };
  structure<number>(successors, entry, {
    block: () => begin('block'),
    loop: () => begin('loop'),
    end() {
      stack.pop();
      openLabels.pop();
    },
    dispatch(number, labels) {
      for (const label of labels) assert.ok(openLabels.includes(label), 'a dispatch leaves by open labels');
      stack[stack.length - 1].push({ kind: 'dispatch', number, labels });
    },
    node(node, destination) {
      const to = new Map(successors[node].map((target) => [target, destination(target)]));
      for (const { label } of to.values()) assert.ok(openLabels.includes(label), 'a branch leaves by an open label');
      stack[stack.length - 1].push({ kind: 'node', node, to });
    },
  });
  assert.equal(openLabels.length, 0);
  return root;
}

/** Runs emitted code: `choose` picks the successor's position; gives the nodes visited. */
function run(code: readonly Code[], choose: (node: number) => number, steps: number): number[] {
  const visited: number[] = [];
  const choices = new Map<number, number>();
  const done = Symbol('done');
  const sequence = (list: readonly Code[]): number | typeof done | undefined => {
    for (const item of list) {
      const result = one(item);
      if (result !== undefined) return result;
    }
    return undefined;
  };
  const one = (item: Code): number | typeof done | undefined => {
    if (item.kind === 'dispatch') return item.labels[choices.get(item.number) ?? 0];
    if (item.kind === 'node') {
      visited.push(item.node);
      const targets = [...item.to.keys()];
      if (visited.length >= steps || targets.length === 0) return done;
      const to = item.to.get(targets[choose(item.node) % targets.length]);
      if (to === undefined) return done;
      if (to.choice >= 0) choices.set(to.dispatch, to.choice);
      return to.label;
    }
    for (;;) {
      const result = sequence(item.body);
      if (result !== item.id) return result;
      if (item.kind === 'block') return undefined;
    }
  };
  sequence(code);
  return visited;
}

function walk(
  successors: readonly (readonly number[])[],
  entry: number,
  choose: (node: number) => number,
  steps: number,
) {
  const visited: number[] = [];
  for (let node = entry; ;) {
    visited.push(node);
    const targets = [...new Set(successors[node])];
    if (visited.length >= steps || targets.length === 0) return visited;
    node = targets[choose(node) % targets.length];
  }
}

function chooser(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
}

test('any graph, irreducible ones too, is walked as its edges say', () => {
  const graph = fc
    .integer({ min: 1, max: 12 })
    .chain((n) => fc.array(fc.array(fc.nat(n - 1), { maxLength: 3 }), { minLength: n, maxLength: n }));
  fc.assert(
    fc.property(graph, fc.nat(), (random, seed) => {
      const successors = reachable(random);
      const code = emit(successors, 0);
      assert.deepEqual(run(code, chooser(seed), 200), walk(successors, 0, chooser(seed), 200));
    }),
    { numRuns: 2000 },
  );
});

test('a loop that is entered in two places gets one dispatch and both entries', () => {
  // 0 -> 1 or 2; 1 <-> 2; 2 -> 3.
  const successors = [[1, 2], [2], [1, 3], []];
  const code = emit(successors, 0);
  assert.match(JSON.stringify(code), /dispatch/);
  for (let seed = 0; seed < 50; seed++)
    assert.deepEqual(run(code, chooser(seed), 50), walk(successors, 0, chooser(seed), 50));
});

test('a reducible graph needs no dispatch', () => {
  const code = emit([[1], [2, 4], [3], [2, 1], []], 0);
  assert.doesNotMatch(JSON.stringify(code), /dispatch/);
});

/** Renumbers what is reached from node 0; the structurer is only given that. */
function reachable(successors: readonly (readonly number[])[]): number[][] {
  const order = [0];
  for (const node of order) for (const target of successors[node]) if (!order.includes(target)) order.push(target);
  return order.map((node) => successors[node].map((target) => order.indexOf(target)));
}
