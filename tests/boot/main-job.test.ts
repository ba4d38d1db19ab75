// SPDX-License-Identifier: Apache-2.0
// The main job: L0, Debian's KVM in it, Debian's kernel in that; and what one exit of L2 costs on each CPU profile.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import { UserError } from '../../src/base/errors.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import { BATCH_WORD, MARKERS, SELF_CHECK_SHA256, hypervisorGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import type { Recorder } from '../../src/trace/recorder.ts';

const RAM = 512 << 20;
const SLICE = 1e8;
/** Ticks after which a guest that has not powered off is given up. */
const LIMIT = 2e10;
const { CPUID, VMREAD, VMWRITE, VMRESUME } = EXIT_REASON;

/** Hardware exits from one exit of L2 by CPUID to the next entry of L2: how often each sequence came. */
class CostOfCpuid implements Recorder {
  readonly tracing = false;
  readonly sequences = new Map<string, number>();
  private reasons: number[] | undefined;

  event(): void {}
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

interface Outcome {
  readonly l1: string;
  readonly l2: string;
  readonly cost: CostOfCpuid;
  readonly ended: string | undefined;
}

describe('the main job', () => {
  let unreachable: string | undefined;
  let guest: PreparedGuest;

  before(async () => {
    try {
      guest = await prepareGuest(hypervisorGuest(), nodeImageHost());
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unreachable = error.message;
    }
  });

  function run(vmxProfile: 'paper-1' | 'modern-1', paging: 'multi-dimensional' | 'shadow-on-ept'): Outcome {
    const [l1, l2] = [new ConsoleChannel(), new ConsoleChannel()];
    const cost = new CostOfCpuid();
    const pc = new L0Pc({
      ...{ ramBytes: RAM, processors: 1, startTime: 1_700_000_000, frequencyHz: 1e9, seed: 1, disks: [], vmxProfile },
      serial: [l1, l2],
      permute: 5,
      l0: { recorder: cost, nested: (host) => new NestedVmx(host, { paging }) },
    });
    const commandLine = `${guest.commandLine} ${BATCH_WORD}`;
    const modules = [{ name: 'initrd', bytes: guest.initrd, commandLine: '' }];
    pc.boot({ kernel: guest.kernel, kernelName: 'vmlinuz', commandLine, modules });
    for (let end = SLICE; end <= LIMIT && pc.run(end) === 'limit'; end += SLICE);
    const text = (channel: ConsoleChannel): string => Buffer.from(channel.transcript).toString('latin1');
    return { l1: text(l1), l2: text(l2), cost, ended: pc.end?.kind };
  }

  function succeeded({ l1, l2, ended }: Outcome): void {
    assert.ok(l2.includes(SELF_CHECK_SHA256), l2.slice(-400));
    assert.ok(l2.includes(MARKERS.selfCheckPassed));
    assert.ok(l1.includes(`${MARKERS.innerGuestEnded}0`), l1.slice(-400));
    assert.equal(ended, 'powerOff');
  }

  test('modern: L2 checks itself and powers off; one CPUID of L2 costs two hardware exits', (t) => {
    if (unreachable !== undefined) return t.skip(unreachable);
    const outcome = run('modern-1', 'multi-dimensional');
    succeeded(outcome);
    assert.deepEqual(outcome.cost.usual, [CPUID, VMRESUME]);
  });

  test('paper: the same without VMCS shadowing; k VMCS accesses of L1 make it k + 2', (t) => {
    if (unreachable !== undefined) return t.skip(unreachable);
    const outcome = run('paper-1', 'multi-dimensional');
    succeeded(outcome);
    const [first, ...others] = outcome.cost.usual;
    const accesses = others.filter((reason) => reason === VMREAD || reason === VMWRITE);
    assert.equal(first, CPUID);
    assert.equal(others.at(-1), VMRESUME);
    assert.ok(accesses.length > 0);
    assert.equal(outcome.cost.usual.length, accesses.length + 2);
  });

  test('shadow-on-EPT: L1 makes the page tables of L2', (t) => {
    if (unreachable !== undefined) return t.skip(unreachable);
    const outcome = run('modern-1', 'shadow-on-ept');
    succeeded(outcome);
    assert.match(outcome.l1, /kvm_intel\.ept=N/);
  });
});
