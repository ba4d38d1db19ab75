// SPDX-License-Identifier: Apache-2.0
// The mutators, and a sample of what `npm run test:mutation` does.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { FIELD_ORIGINS } from '../../src/l0/nested/field-origins.ts';
import { EXIT_ROUTES } from '../../src/l0/nested/exit-routes.ts';
import { ENTRY_CHECKS } from '../../src/arch/vmx/entry-checks.ts';
import { Builds, sourceText } from './builds.ts';
import { compiled } from './mutant.ts';
import type { Mutant } from './mutant.ts';
import { TABLES, runMutants, sample, testFiles } from './run.ts';
import { sourceMutants } from './source-mutators.ts';
import { reasonFor } from './survivors.ts';

const builds = new Builds(30_000);
after(() => builds.close());

const mutants = new Map(TABLES.map((table) => [table.name, table.mutants()]));
const of = (name: (typeof TABLES)[number]['name']): readonly Mutant[] => mutants.get(name) ?? [];

describe('mutants', () => {
  test('each has a name of its own, is a program, and differs from the source', () => {
    for (const [name, list] of mutants) {
      assert.equal(new Set(list.map(({ file, id }) => `${file} ${id}`)).size, list.length, name);
      for (const { id, file, text } of sample(list, 100, 1)) {
        assert.ok(compiled(text) !== undefined, id);
        assert.notEqual(compiled(text), compiled(sourceText(file)), id);
      }
    }
  });
  test('there are some for each row of the three tables', () => {
    const begin = (name: (typeof TABLES)[number]['name']): Set<string> =>
      new Set(of(name).map(({ id }) => id.split(' :: ')[0]));
    const [routes, origins, checks] = [begin('routes'), begin('origins'), begin('entry-checks')];
    for (const { reason } of EXIT_ROUTES) assert.ok(routes.has(reason), reason);
    for (const { field } of FIELD_ORIGINS) assert.ok(origins.has(field), field);
    for (const { id } of ENTRY_CHECKS) assert.ok(checks.has(id), id);
  });
  test('of text: operators, bits, constants and operands; no strings, types or imports', () => {
    const ids = sourceMutants('src/l0/nested/exit-conditions.ts', 'export function exceptionExits').map(
      ({ id }) => id.split(' :: ')[1],
    );
    for (const id of [
      '=== → !==',
      '& → |',
      'EXCEPTION_BITMAP → (EXCEPTION_BITMAP ^ 8)',
      'CR0_TS → (CR0_TS << 1)',
      '! → nothing',
      'true → false',
    ])
      assert.ok(
        ids.some((each) => each.startsWith(id)),
        id,
      );
    assert.ok(of('origins').some(({ id }) => id.endsWith(':: without PRIMARY.HLT_EXITING')));
    assert.ok(of('entry-checks').some(({ id }) => id.includes('0x7ffff000 → 0x7fffe000')));
    assert.ok(!of('entry-checks').some(({ id }) => id.startsWith('import')));
  });
});

describe('a sample of the mutants is caught', () => {
  const COUNTS = { routes: 12, origins: 3, 'entry-checks': 20 } as const;
  for (const table of TABLES)
    test(`${COUNTS[table.name]} of the ${table.name}`, async () => {
      const chosen = sample(of(table.name), COUNTS[table.name], 4);
      const verdicts = await runMutants(chosen, testFiles(table, false), builds);
      const survivors = verdicts.filter(({ caughtBy }) => caughtBy === undefined).map(({ mutant }) => mutant);
      assert.deepEqual(
        survivors.filter((mutant) => reasonFor(mutant) === undefined).map(({ id }) => id),
        [],
      );
      assert.ok(survivors.length <= 2);
    });
  test('and nothing is said of mutants where the right build fails (here: there is no such file)', async () => {
    const [first] = of('routes');
    await assert.rejects(
      runMutants([first], ['tests/mutation/no-such-file.test.ts'], builds),
      /without a mutation .* fails/,
    );
  });
});
