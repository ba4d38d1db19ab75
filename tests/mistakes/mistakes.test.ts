// SPDX-License-Identifier: Apache-2.0
// Each trial of the table twice: the right build passes its test, the build with the mistake fails it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { Builds, inRoot, patched } from '../mutation/builds.ts';
import { MISTAKES } from './mistakes.ts';
import type { Trial } from './mistakes.ts';
import { DOCUMENT, mistakesDocument } from './document.ts';

const builds = new Builds(20_000);
after(() => builds.close());

/** Right builds that have passed, by file and test: several mistakes may share one. */
const passed = new Set<string>();

async function check({ file, test: name, patches }: Trial): Promise<void> {
  const steps = [{ file: inRoot(file), name }];
  const key = `${file} ${name}`;
  if (!passed.has(key)) {
    const right = await builds.run(new Map(), steps);
    assert.equal(right.failed, undefined, 'the right build passes');
    assert.equal(right.tests, 1, `the test is there: ${name}`);
    passed.add(key);
  }
  const wrong = await builds.run(patched(patches), steps);
  assert.ok(wrong.failed !== undefined, `the mistake is not noticed by: ${name}`);
  assert.equal(wrong.failed.name, name, `it fails by the test, not otherwise: ${wrong.failed.error}`);
}

describe('mistakes of others, made on purpose, are found', () => {
  for (const { ids, trials } of MISTAKES)
    trials.forEach((trial, i) =>
      test(`${ids.join(', ')}${trials.length > 1 ? ` (${i + 1})` : ''}: ${trial.patches[0].file}`, () => check(trial)),
    );
});

describe('the list of mistakes', () => {
  test('names each once, and says of each where it would be or why it cannot be', () => {
    const ids = MISTAKES.flatMap((row) => row.ids);
    assert.equal(new Set(ids).size, ids.length);
    for (const {
      mistake,
      here,
      ids: [id],
    } of MISTAKES)
      assert.ok(mistake.length > 10 && here.length > 5, id);
  });
  test('is what docs/mistakes.md shows', () => {
    assert.equal(readFileSync(DOCUMENT, 'utf8'), mistakesDocument(), 'run `node tests/mistakes/document.ts`');
  });
  test('a text that is not there exactly once is refused', () => {
    const file = 'src/l0/nested/outcome.ts';
    assert.throws(() => patched([{ file, find: 'nothing like this', replace: '' }]), /found 0 times/);
    assert.throws(() => patched([{ file, find: 'vcpu', replace: '' }]), /expected once, found \d\d? times/);
  });
  test('a build without a change does not fail, whatever its number', async () => {
    const file = inRoot('src/l0/paging/vpid.test.ts');
    const result = await builds.run(new Map(), [{ file }]);
    assert.equal(result.failed, undefined);
    assert.ok(result.tests >= 5);
  });
});
