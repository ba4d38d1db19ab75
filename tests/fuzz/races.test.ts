// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONFIGURATIONS } from './program.ts';
import type { Tamper } from './findings.ts';
import { fuzz } from './fuzzer.ts';
import { LAYOUT } from './layout.ts';
import { OtherProcessor } from './races.ts';

test('a race comes before its access, at the first exit behind its pause, and once', () => {
  const seen: string[] = [];
  const other = new OtherProcessor((at, bytes) => seen.push(`${at} ${bytes.join()}`));
  const exit = (accesses: number): string[] => {
    other.exit();
    for (let n = 0; n < accesses; n++) {
      other.access(n);
      seen.push('.');
    }
    return seen.splice(0);
  };
  other.begin([
    { after: 2, access: 1, at: 10, bytes: [1] },
    { after: 1, access: 0, at: 20, bytes: [2, 3] },
  ]);
  assert.deepEqual(exit(2), ['.', '.']);
  assert.deepEqual(exit(1), ['.']);
  assert.deepEqual(exit(3), ['.', '10 1', '.', '.']);
  assert.deepEqual(exit(1), ['20 2,3', '.']);
  assert.deepEqual(exit(2), ['.', '.']);
});

test('an L0 that reads twice what it needs once is found', () => {
  const readsTwice: Tamper = ({ pc: { l0 } }) => {
    const { nested } = l0.l1;
    assert.ok(nested);
    const plain = nested.vmxInstruction.bind(nested);
    nested.vmxInstruction = (vcpu, reason) => {
      const words = Array.from({ length: 16 }, (_, i) => LAYOUT.ENTRY_LIST + 16 * i);
      const first = words.map((at) => l0.l1.memory.read32(at));
      assert.deepEqual(words.map((at) => l0.l1.memory.read32(at)), first); // prettier-ignore
      plain(vcpu, reason);
    };
  };
  const seen: string[] = [];
  fuzz({
    ...{ configurations: CONFIGURATIONS.slice(0, 1), seed: 3, tamper: readsTwice },
    more: ({ programs }) => programs < 300,
    found: ({ races }, difference) => {
      assert.ok(races !== undefined, difference);
      seen.push(difference);
      return false;
    },
  });
  assert.match(seen[0] ?? '', /Expected values to be/);
});
