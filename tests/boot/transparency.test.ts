// SPDX-License-Identifier: Apache-2.0
// Transparency: the same L1 with the same L2 on the machine itself and under L0. L1 must see the same exits of L2, with
// the same information, at the same instruction; nobody who has no hardware of his own can ask for that.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import type { TraceEventName, TraceFields } from '../../src/trace/events.ts';
import { CostOfCpuid, assertSucceeded, mainGuest, runBare, runUnderL0 } from './main-job.ts';

/** Every exit of L2 that L1 sees: when, why, qualification, interruption information. */
class SeenByL1 extends CostOfCpuid {
  override readonly tracing = true;
  readonly exits: string[] = [];

  override event<Name extends TraceEventName>(
    name: Name,
    _level: number,
    _processor: number,
    nanoseconds: number,
    fields: TraceFields<Name>,
  ): void {
    // On the machine itself each exit is L1's; under L0 those that are passed on.
    const { exit_reason: reason, info1, intr_info, exit_info1, exit_int_info } = fields as Record<string, unknown>;
    if (name === 'kvm_exit' && info1 !== undefined && _level === 1) this.note(nanoseconds, reason, info1, intr_info);
    if (name === 'kvm_nested_vmexit_inject') this.note(nanoseconds, reason, exit_info1, exit_int_info);
  }
  private note(...what: unknown[]): void {
    this.exits.push(what.join(' '));
  }
}

describe('transparency', () => {
  let guest: PreparedGuest | string;

  before(async () => {
    guest = await mainGuest();
  });

  test('L1 sees the same exits of L2 bare and under L0, to the instruction; a CPUID of L2 costs two exits', (t) => {
    if (typeof guest === 'string') return t.skip(guest);
    const bare = new SeenByL1();
    const under = new SeenByL1();
    const expected = runBare(guest, 'modern-1', bare);
    const outcome = runUnderL0(guest, 'modern-1', 'multi-dimensional', under);
    assertSucceeded(expected);
    assertSucceeded(outcome);
    assert.ok(bare.exits.length > 10_000);
    const first = bare.exits.findIndex((exit, i) => exit !== under.exits[i]);
    assert.equal(first, -1, `exit ${first}: bare ${bare.exits[first]}, under L0 ${under.exits[first]}`);
    assert.equal(under.exits.length, bare.exits.length);
    assert.deepEqual([outcome.l1, outcome.l2, outcome.ticks], [expected.l1, expected.l2, expected.ticks]);
    assert.deepEqual(under.usual, [EXIT_REASON.CPUID, EXIT_REASON.VMRESUME]);
  });
});
