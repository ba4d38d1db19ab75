// SPDX-License-Identifier: Apache-2.0
// The main job as the paper had it: without VMCS shadowing, and with L1 making the page tables of L2.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { noRecorder } from '../../src/trace/recorder.ts';
import { CostOfCpuid, assertSucceeded, mainGuest, runUnderL0 } from './main-job.ts';

const { CPUID, VMREAD, VMWRITE, VMRESUME } = EXIT_REASON;

describe('the main job', () => {
  let guest: PreparedGuest | string;

  before(async () => {
    guest = await mainGuest();
  });

  test('paper: L2 checks itself and powers off; k VMCS accesses of L1 make one CPUID of L2 cost k + 2 exits', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const cost = new CostOfCpuid();
    assertSucceeded(runUnderL0(guest, 'paper-1', 'multi-dimensional', cost));
    const [first, ...others] = cost.usual;
    const accesses = others.filter((reason) => reason === VMREAD || reason === VMWRITE);
    assert.equal(first, CPUID);
    assert.equal(others.at(-1), VMRESUME);
    assert.ok(accesses.length > 0);
    assert.equal(cost.usual.length, accesses.length + 2);
  });

  test('shadow-on-EPT: L1 is shown no EPT, and makes the page tables of L2', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const outcome = runUnderL0(guest, 'modern-1', 'shadow-on-ept', noRecorder);
    assertSucceeded(outcome);
    assert.match(outcome.l1, /kvm_intel\.ept=N/);
  });
});
