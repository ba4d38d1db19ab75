// SPDX-License-Identifier: Apache-2.0
// The main job as tests run it: L1's KVM with L2 in it, on the machine itself or under L0.
import assert from 'node:assert/strict';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import { UserError } from '../../src/base/errors.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import { BATCH_WORD, MARKERS, SELF_CHECK_SHA256, hypervisorGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';
import { Pc } from '../../src/system/pc.ts';
import type { PcOptions } from '../../src/system/pc.ts';
import type { NestedHost } from '../../src/l0/nested-hooks.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import type { TraceEventName, TraceFields } from '../../src/trace/events.ts';
import type { Recorder } from '../../src/trace/recorder.ts';

const RAM = 512 << 20;
const SLICE = 1e8;
/** Ticks after which a guest that has not powered off is given up. */
const LIMIT = 2e10;
const { CPUID } = EXIT_REASON;

/** Hardware exits from one exit of L2 by CPUID to the next entry of L2: how often each sequence came. */
export class CostOfCpuid implements Recorder {
  readonly tracing: boolean = false;
  readonly sequences = new Map<string, number>();
  private reasons: number[] | undefined;

  event<Name extends TraceEventName>(
    _name: Name,
    _level: number,
    _processor: number,
    _nanoseconds: number,
    _fields: TraceFields<Name>,
  ): void {}
  exit(level: number, _processor: number, reason: number): void {
    if (level === 2) this.reasons = reason === CPUID ? [reason] : undefined;
    else this.reasons?.push(reason);
  }
  entry(level: number): void {
    if (level !== 2 || this.reasons === undefined || this.reasons.length < 2) return;
    const key = this.reasons.join();
    this.sequences.set(key, (this.sequences.get(key) ?? 0) + 1);
    this.reasons = undefined;
  }
  /** The sequence that came most often: without an interrupt in between. */
  get usual(): number[] {
    const [[key]] = [...this.sequences].sort(([, a], [, b]) => b - a);
    return key.split(',').map(Number);
  }
}

export interface Outcome {
  readonly l1: string;
  readonly l2: string;
  readonly ended: string | undefined;
  readonly instructions: number;
  readonly ticks: number;
}

/** The guest, or the sentence that says why its packages cannot be had. */
export async function mainGuest(): Promise<PreparedGuest | string> {
  try {
    return await prepareGuest(hypervisorGuest(), nodeImageHost());
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

export type Profile = 'paper-1' | 'modern-1';

/** What L0 does not show to L1, so that the machine itself must not show it either. See `NEEDS_CONTROL` of L0. */
const HIDDEN: { readonly [Name in Profile]: readonly string[] } = {
  'modern-1': ['-monitor'],
  'paper-1': ['-monitor', '-rdtscp', '-rdpid', '-invpcid', '-xsaves'],
};

function options(vmxProfile: Profile, serial: ConsoleChannel[]): PcOptions & { readonly vmxProfile: Profile } {
  const time = { startTime: 1_700_000_000, frequencyHz: 1e9 };
  return { ...time, ramBytes: RAM, processors: 1, seed: 1, disks: [], vmxProfile, serial };
}

function run(pc: Pc | L0Pc, guest: PreparedGuest, [l1, l2]: ConsoleChannel[]): Outcome {
  const modules = [{ name: 'initrd', bytes: guest.initrd, commandLine: '' }];
  const commandLine = `${guest.commandLine} ${BATCH_WORD}`;
  pc.boot({ kernel: guest.kernel, kernelName: 'vmlinuz', commandLine, modules });
  for (let end = SLICE; end <= LIMIT && pc.run(end) === 'limit'; end += SLICE);
  const text = (channel: ConsoleChannel): string => Buffer.from(channel.transcript).toString('latin1');
  const { instructions, ticks } = pc.machine;
  return { l1: text(l1), l2: text(l2), ended: pc.end?.kind, instructions, ticks };
}

/** L1 owns the machine. `prepare`: before it begins. */
export function runBare(
  guest: PreparedGuest,
  profile: Profile,
  recorder: Recorder,
  prepare: (pc: Pc) => void = () => {},
): Outcome {
  const serial = [new ConsoleChannel(), new ConsoleChannel()];
  const pc = new Pc({ ...options(profile, serial), cpuFeatures: HIDDEN[profile], recorder });
  prepare(pc);
  return run(pc, guest, serial);
}

/** L0 owns the machine, and has shuffled L1's memory in it. */
export function runUnderL0(
  guest: PreparedGuest,
  profile: Profile,
  paging: 'multi-dimensional' | 'shadow-on-ept',
  recorder: Recorder,
  prepare: (pc: L0Pc) => void = () => {},
): Outcome {
  const serial = [new ConsoleChannel(), new ConsoleChannel()];
  const l0 = { recorder, nested: (host: NestedHost) => new NestedVmx(host, { paging }) };
  const pc = new L0Pc({ ...options(profile, serial), permute: 5, l0 });
  prepare(pc);
  return run(pc, guest, serial);
}

export function assertSucceeded({ l1, l2, ended }: Outcome): void {
  assert.ok(l2.includes(SELF_CHECK_SHA256), l2.slice(-400));
  assert.ok(l2.includes(MARKERS.selfCheckPassed));
  assert.ok(l1.includes(`${MARKERS.innerGuestEnded}0`), l1.slice(-400));
  assert.equal(ended, 'powerOff');
}
