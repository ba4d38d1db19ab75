// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { programOf } from './case.ts';
import { EVENT_CASES } from './cases-events.ts';
import { INSTRUCTION_CASES } from './cases-instructions.ts';
import { compareUnderL0, runBare } from './run.ts';

describe('scripted L1', () => {
  for (const each of [...INSTRUCTION_CASES, ...EVENT_CASES])
    for (const profile of each.profiles)
      test(`${each.name}, ${profile}`, () => {
        const program = programOf(each, profile);
        const bare = runBare(program);
        assert.deepEqual(bare.order, each.exits);
        compareUnderL0(program, bare);
      });
});
