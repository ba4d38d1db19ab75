// SPDX-License-Identifier: Apache-2.0
// The main job as the paper had it: without VMCS shadowing, and with L1 making the page tables of L2. L1 must not see
// that L0 is there; see transparency.test.ts.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { mainGuest } from './main-job.ts';
import { compare, tableOf } from './transparency.ts';

const { CPUID, VMREAD, VMWRITE, VMRESUME } = EXIT_REASON;

describe('the main job', () => {
  let guest: PreparedGuest | string;

  before(async () => {
    guest = await mainGuest();
  });

  test('paper: every exit is the same; k VMCS accesses of L1 make one CPUID of L2 cost k + 2 exits', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const compared = compare(guest, 'paper-1', 'multi-dimensional');
    t.diagnostic(tableOf(compared));
    assert.ok(compared.exits > 70_000);
    const [first, ...others] = compared.costOfCpuid;
    const accesses = others.filter((reason) => reason === VMREAD || reason === VMWRITE);
    assert.equal(first, CPUID);
    assert.equal(others.at(-1), VMRESUME);
    assert.ok(accesses.length > 0);
    assert.equal(compared.costOfCpuid.length, accesses.length + 2);
  });

  test('shadow-on-EPT: L1 is shown no EPT, makes the page tables of L2, and more than 10⁵ exits are the same', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const compared = compare(guest, 'modern-1', 'shadow-on-ept');
    t.diagnostic(tableOf(compared));
    assert.ok(compared.exits > 100_000);
    assert.ok(compared.lastError > 100_000);
    assert.match(compared.consoleOfL1, /kvm_intel\.ept=N/);
  });
});
