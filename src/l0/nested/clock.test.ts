// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { countsInstruction } from './clock.ts';
import { exitInformation } from './exit-information.ts';

const PAGE_FAULT = 0x80000b0e;
const EXTERNAL = 0x80000030;
const { EXCEPTION_NMI, EPT_VIOLATION, EPT_MISCONFIG, APIC_ACCESS, TASK_SWITCH, TRIPLE_FAULT } = EXIT_REASON;

describe('what the clock counts of exits during event delivery', () => {
  for (const reason of [EXCEPTION_NMI, EPT_VIOLATION, EPT_MISCONFIG, APIC_ACCESS, TASK_SWITCH]) {
    const during = (vectoring: number): ReturnType<typeof exitInformation> =>
      exitInformation(reason, { vectoring, interruption: reason === EXCEPTION_NMI ? PAGE_FAULT : 0 });

    test(`exit reason ${reason}: the instruction whose fault was being delivered, but none for an injected one`, () => {
      assert.equal(countsInstruction(during(PAGE_FAULT), false), true);
      assert.equal(countsInstruction(during(PAGE_FAULT), true), false);
      assert.equal(countsInstruction(during(EXTERNAL), false), false);
      assert.equal(countsInstruction(during(0), false), true);
    });
  }

  test('a triple fault is of the instruction that began it, or of what was injected', () => {
    assert.equal(countsInstruction(exitInformation(TRIPLE_FAULT), false), true);
    assert.equal(countsInstruction(exitInformation(TRIPLE_FAULT), true), false);
  });
});
