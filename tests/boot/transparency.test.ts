// SPDX-License-Identifier: Apache-2.0
// Transparency: the same L1 with the same L2 on the machine itself and under L0. At every exit of L2 L1 must find the
// same, in every field; nobody who has no hardware of his own can ask for that.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { mainGuest } from './main-job.ts';
import { compare, tableOf } from './transparency.ts';

const { CPUID, VMRESUME } = EXIT_REASON;
const MANY = 70_000;

describe('transparency of the main job', () => {
  let guest: PreparedGuest | string;

  before(async () => {
    guest = await mainGuest();
  });

  test('modern: every exit of L2 is the same bare and under L0; a CPUID of L2 costs two exits', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const compared = compare(guest, 'modern-1', 'multi-dimensional');
    t.diagnostic(tableOf(compared));
    assert.ok(compared.exits > MANY);
    assert.deepEqual(compared.costOfCpuid, [CPUID, VMRESUME]);
  });
});
