// SPDX-License-Identifier: Apache-2.0
// Bochs as oracle: privileged images to their end, and VMX exits and errors, which QEMU has not.
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { runBare } from '../nested/runs.ts';
import type { Variant } from '../nested/runs.ts';
import { whyNoBochs, runInBochs } from '../oracle/bochs/bochs.ts';
import { compareLogs } from '../oracle/bochs/exit-differences.ts';
import { compareFinalMemory } from '../oracle/bochs/final-memory.ts';
import { compareFailingEntries } from '../oracle/bochs/failing-entries.ts';
import { nestedImage } from '../oracle/bochs/nested-image.ts';

const LOG = 0x1000000;
const LOG_END = 0xff0000;
const LOG_BYTES = 4 << 20;
const SECONDS = 120;

// prettier-ignore
const VARIANTS: readonly Variant[] = [
  { profile: 'modern-1', ept: true,  dirtyFlags: false, vpid: true,  tprShadow: true },
  { profile: 'modern-1', ept: true,  dirtyFlags: true,  vpid: true,  tprShadow: false },
  { profile: 'modern-1', ept: false, dirtyFlags: false, vpid: false, tprShadow: false },
];

const ORACLE = join(import.meta.dirname, '..', 'oracle', 'qemu');
// prettier-ignore
const IMAGES = [
  ...['real.asm', 'modes.asm', 'rings.asm', 'tasks.asm', 'paging.asm', 'long.asm', 'debug.asm'].map((file) => join(ORACLE, file)),
  join(import.meta.dirname, '..', 'machine', 'protection.asm'),
];

describe('Bochs', { skip: whyNoBochs() ?? false }, () => {
  for (const variant of VARIANTS) {
    const { ept, dirtyFlags, tprShadow } = variant;
    const name = [ept && 'EPT', dirtyFlags && 'its flags', tprShadow && 'TPR shadow'].filter(Boolean).join(', ');
    test(`a hypervisor sees the same exits: ${name || 'without EPT'}`, async () => {
      const { kernel, entry, end } = nestedImage(variant);
      const ours = runBare(kernel, variant.profile);
      assert.deepEqual(ours.end, { kind: 'debugExit', code: 3 });
      const [endOfLog, log] = await runInBochs({
        ...{ image: kernel, entry, stopAt: end, seconds: SECONDS },
        read: [
          { address: LOG_END, bytes: 8 },
          { address: LOG, bytes: LOG_BYTES },
        ],
      });
      const length = endOfLog.readUInt32LE(0) - LOG;
      const theirs = new BigUint64Array(log.buffer.slice(log.byteOffset, log.byteOffset + length));
      const result = compareLogs(ours.log, theirs);
      assert.deepEqual(result.differences, []);
      assert.ok(result.compared > 80, `${result.compared} exits`);
      assert.ok(result.reasons.size > 20, [...result.reasons].join(' '));
    });
  }

  for (const image of IMAGES) {
    test(`${basename(image)} leaves the same memory`, async () => {
      const { differences } = await compareFinalMemory(image);
      assert.deepEqual(differences.slice(0, 20), []);
    });
  }

  test('VM entries that fail, each by one field: the same error, or the same reason and qualification', async () => {
    const { differences, entries, failures } = await compareFailingEntries();
    assert.deepEqual(differences, []);
    assert.ok(entries > 90, `${entries} entries`);
    // Were one of them right, those after it would be errors 4.
    assert.deepEqual(
      [...failures].sort((a, b) => (a < b ? -1 : 1)),
      ['error 7', 'error 8', 'reason 33'],
    );
  });
});
