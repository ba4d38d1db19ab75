// SPDX-License-Identifier: Apache-2.0
// docs/mistakes.md, from the table. `node tests/mistakes/document.ts` writes it.

import { writeFileSync } from 'node:fs';
import { inRoot } from '../mutation/builds.ts';
import { MISTAKES } from './mistakes.ts';
import type { Mistake } from './mistakes.ts';

export const DOCUMENT = inRoot('docs/mistakes.md');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('_', '\\_');

function found({ trials }: Mistake): string {
  return [...new Set(trials.map(({ test, file }) => `\`${file.split('/').at(-1)}\`: ${cell(test)}`))].join('<br>');
}

export function mistakesDocument(): string {
  const rows = (wanted: readonly Mistake[], last: (row: Mistake) => string): string[] =>
    wanted.map((row) => `| ${cell(row.ids.join(', '))} | ${cell(row.mistake)} | ${cell(row.here)} |${last(row)}`);
  const tried = MISTAKES.filter(({ trials }) => trials.length > 0);
  const impossible = MISTAKES.filter(({ trials }) => trials.length === 0);
  return [
    '# Mistakes of others',
    '',
    'What nested virtualization has got wrong elsewhere: vulnerabilities, and titles of fixes. Generated from',
    '`tests/mistakes/mistakes.ts`; `tests/mistakes/mistakes.test.ts` makes each mistake in our sources and shows that the',
    'test named for it fails.',
    '',
    `## Made and found: ${tried.length} rows, ${tried.flatMap(({ trials }) => trials).length} changes of our sources`,
    '',
    '| | mistake | where it would be here | found by |',
    '| --- | --- | --- | --- |',
    ...rows(tried, (row) => ` ${found(row)} |`),
    '',
    `## Cannot be made here: ${impossible.length} rows`,
    '',
    '| | mistake | why not |',
    '| --- | --- | --- |',
    ...rows(impossible, () => ''),
    '',
  ].join('\n');
}

if (import.meta.main) writeFileSync(DOCUMENT, mistakesDocument());
