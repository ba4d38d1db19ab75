// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ENTRY_CHECKS } from '../src/arch/vmx/entry-checks.ts';
import { MSR_LOAD_CHECKS } from '../src/arch/vmx/msr-load-rules.ts';
import { BASIC_CHECKS } from '../src/arch/vmx/basic-checks.ts';
import { ENTRY_CHECKS_FILE, entryChecksDocument } from '../tools/entry-checks.ts';

test('docs/entry-checks.md is what the rows say', () => {
  assert.equal(readFileSync(ENTRY_CHECKS_FILE, 'utf8'), entryChecksDocument(), 'run `npm run docs`');
});

test('it has every rule once', () => {
  const ids = entryChecksDocument()
    .match(/^\| `[a-z0-9.-]+` \|/gm)
    ?.map((cell) => cell.slice(3, -3));
  const rules = [...BASIC_CHECKS, ...ENTRY_CHECKS, ...MSR_LOAD_CHECKS].map(({ id }) => id);
  assert.deepEqual(ids, rules);
});
