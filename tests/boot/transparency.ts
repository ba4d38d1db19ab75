// SPDX-License-Identifier: Apache-2.0
// The whole main job, bare and under L0, compared at every exit of L2 that L1 sees.
import assert from 'node:assert/strict';
import { exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import { PROFILES } from '../../src/arch/vmx/profiles.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { capabilitiesForL1 } from '../../src/l0/nested/capabilities.ts';
import type { Paging } from '../../src/l0/nested/capabilities.ts';
import type { Pc } from '../../src/system/pc.ts';
import type { Recorder } from '../../src/trace/recorder.ts';
import { BitErrorWatch, everyBit } from '../nested/bit-errors.ts';
import { BareWatch } from '../nested/exit-watch.ts';
import type { Reasons } from '../nested/exit-watch.ts';
import { layoutOf } from '../nested/seen-exit.ts';
import { CostOfCpuid, assertSucceeded, runBare, runUnderL0 } from './main-job.ts';
import type { Profile } from './main-job.ts';

/** What the two runs came to. */
export interface Compared {
  readonly exits: number;
  readonly reasons: Reasons;
  /** Values that were compared at each exit. */
  readonly values: number;
  /** One-bit errors that were made, and found, under way; and the last exit that had one. */
  readonly bitErrors: number;
  readonly lastError: number;
  /** Under L0: why the hardware exits, from one CPUID of L2 to its next instruction. */
  readonly costOfCpuid: readonly number[];
  readonly consoleOfL1: string;
}

const SEED = 20;

/** Throws `ExitDiffers` at the first exit that is not the same; what the runs do at their end is compared as well. */
export function compare(guest: PreparedGuest, profile: Profile, paging: Paging): Compared {
  const layout = layoutOf(capabilitiesForL1(PROFILES[profile], paging));
  const bare = new BareWatch(layout);
  const expected = runBare(guest, profile, bare, (pc) => {
    hideEpt(pc, paging);
    bare.attach(pc);
  });
  const { recorded, reasons } = bare;
  const errors = everyBit(layout, recorded.count, SEED);
  const watch = new BitErrorWatch(layout, recorded, errors);
  const cost = new CostOfCpuid();
  const outcome = runUnderL0(guest, profile, paging, both(cost, watch), (pc) => watch.attach(pc));
  watch.finish();
  assertSucceeded(expected);
  assertSucceeded(outcome);
  assert.deepEqual([outcome.l1, outcome.l2, outcome.ticks], [expected.l1, expected.l2, expected.ticks]);
  assert.deepEqual([watch.missed, watch.made], [[], errors.length]);
  return {
    ...{ exits: recorded.count, reasons, values: layout.names.length },
    ...{ bitErrors: watch.made, lastError: watch.last, costOfCpuid: cost.usual, consoleOfL1: outcome.l1 },
  };
}

/** Under shadow-on-EPT L1 is not shown EPT: on the machine itself it must not be either. */
function hideEpt(pc: Pc, paging: Paging): void {
  for (const { cpu } of pc.machine.processors) {
    const { vmxCapabilities } = cpu.environment;
    assert.ok(vmxCapabilities);
    if (paging === 'shadow-on-ept')
      cpu.environment = { ...cpu.environment, vmxCapabilities: capabilitiesForL1(vmxCapabilities, paging) };
  }
}

function both(one: Recorder, other: Recorder): Recorder {
  return {
    tracing: false,
    event: () => {},
    exit: (...args) => {
      one.exit(...args);
      other.exit(...args);
    },
    entry: (...args) => {
      one.entry(...args);
      other.entry(...args);
    },
  };
}

/** A line for each exit reason, and the totals. */
export function tableOf({ exits, reasons, values, bitErrors, lastError }: Compared): string {
  const rows = [...reasons].sort(([, a], [, b]) => b - a);
  return [
    ...rows.map(([reason, count]) => `${String(count).padStart(9)}  ${exitReason(reason)?.name ?? reason}`),
    `${String(exits).padStart(9)}  exits, ${values} values each, equal`,
    `${String(bitErrors).padStart(9)}  one-bit errors made under way and found, the last at exit ${lastError}`,
  ].join('\n');
}
