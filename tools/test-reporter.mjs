// SPDX-License-Identifier: Apache-2.0

// One line per test file; more only for what failed, was skipped, or took long.

import { relative } from 'node:path';
import { inspect } from 'node:util';

/** Milliseconds after which a test gets a line of its own, at once: somebody is waiting. */
const SLOW = 5000;

const emptyTally = (file) => ({ file, passed: 0, failed: 0, skipped: 0, milliseconds: 0 });

function fileLine(tally) {
  const { file, passed, failed, skipped, milliseconds } = tally;
  const counts = [`${passed} passed`, failed && `${failed} FAILED`, skipped && `${skipped} skipped`].filter(Boolean);
  return `${failed ? '✗' : '✓'} ${file}: ${counts.join(', ')}, ${Math.round(milliseconds)} ms\n`;
}

/** What is told about one test besides its file's line. */
function testLines({ name, skip, todo, details }, failed) {
  if (skip !== undefined || todo !== undefined) return `  skipped: ${name} (${skip || todo || 'no reason given'})\n`;
  if (failed) return `✗ ${name}\n${inspect(details.error?.cause ?? details.error).replace(/^/gm, '    ')}\n`;
  return details.duration_ms > SLOW ? `  ${name}: ${(details.duration_ms / 1000).toFixed(1)} s\n` : '';
}

function count(tally, { skip, todo, details }, failed) {
  if (skip !== undefined || todo !== undefined) tally.skipped++;
  else if (failed) tally.failed++;
  else tally.passed++;
  tally.milliseconds += details.duration_ms;
}

export default async function* report(events) {
  const total = emptyTally('in all');
  let tally = null;
  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const failed = type === 'test:fail';
    const file = relative('.', data.file ?? data.name);
    if (tally?.file !== file) {
      if (tally) yield fileLine(tally);
      tally = emptyTally(file);
    }
    if (data.details.type === 'suite') continue;
    yield testLines(data, failed);
    count(tally, data, failed);
    count(total, data, failed);
  }
  if (tally) yield fileLine(tally);
  yield fileLine(total);
}
