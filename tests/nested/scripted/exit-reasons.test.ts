// SPDX-License-Identifier: Apache-2.0
// Every exit reason that a profile can produce, produced, and the same bare and under L0; of every other, that the
// profile cannot.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EXIT_REASONS } from '../../../src/arch/vmx/exit-reasons.ts';
import { PROFILE_NAMES } from '../../../src/arch/vmx/profiles.ts';
import { Pc } from '../../../src/system/pc.ts';
import { IMAGES, readImage, sourcesDigest } from '../image.ts';
import { ALL_CASES } from './all-cases.ts';
import { programOf } from './case.ts';
import { IMPOSSIBLE } from './reasons.ts';
import { compareUnderL0, runBare } from './run.ts';
import { withEpt } from './variants.ts';

test('the image is made of the sources beside it', () => {
  assert.equal(
    readImage(IMAGES.scripted).digest,
    sourcesDigest(IMAGES.scripted),
    'run `node tests/nested/assemble.ts`',
  );
});

describe('L1 finds the same bare and under L0', () => {
  for (const each of [...ALL_CASES, ...ALL_CASES.flatMap((one) => withEpt(one) ?? [])])
    for (const profile of each.profiles)
      test(`${each.name}: ${profile}`, () => {
        const program = programOf(each, profile);
        const bare = runBare(program);
        assert.deepEqual(bare.order, each.exits, 'the case makes its exits');
        compareUnderL0(program, bare);
      });
});

describe('no exit reason is missing', () => {
  const nothing = { serial: [], disks: [], startTime: 0, ramBytes: 16 << 20, processors: 1, frequencyHz: 1e9, seed: 1 };
  for (const profile of PROFILE_NAMES) {
    const { msrs } = new Pc({ ...nothing, vmxProfile: profile }).machine.processors[0].cpu.environment;

    for (const { name } of EXIT_REASONS)
      test(`${profile}: ${name} has a case, or cannot be`, () => {
        const made = ALL_CASES.some(({ profiles, exits }) => profiles.includes(profile) && exits.includes(name));
        const cannot = IMPOSSIBLE.filter((row) => row.reason === name && row.holds({ profile, msrs }));
        assert.equal(made, cannot.length === 0, made ? `it can: ${cannot[0]?.because}` : 'neither is so');
      });
  }
});
