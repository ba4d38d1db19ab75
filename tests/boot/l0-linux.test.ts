// SPDX-License-Identifier: Apache-2.0
// Debian's kernel under L0, and the same on the machine itself: what L1 sees must not differ, not even in time.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import type { ByteChannel } from '../../src/hardware/ports.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import { BATCH_WORD, MARKERS, plainGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { Pc } from '../../src/system/pc.ts';
import type { PcEnd } from '../../src/system/pc.ts';
import { RunRecorder } from '../../src/trace/recorder.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';

const skip = existsSync('/usr/bin/apt-get') ? false : 'this machine has no apt';
const MIB = 2 ** 20;
const SECOND = 1e9;
/** The whole run needs 3.6 virtual seconds. */
const LONGEST = 10 * SECOND;
const SLICE = 1e8;

class Text implements ByteChannel {
  text = '';
  send(byte: number): void {
    this.text += String.fromCharCode(byte);
  }
  receive(): number {
    return -1;
  }
}

/** What of a run must be the same under L0 and without it. */
interface Outcome {
  readonly console: string;
  readonly end: PcEnd | undefined;
  readonly ticks: number;
  readonly instructions: number;
}

describe('Debian under L0', { skip }, () => {
  let guest: PreparedGuest;

  before(async () => {
    guest = await prepareGuest(plainGuest(), nodeImageHost());
  });

  function settings(processors: number) {
    const console = new Text();
    const options = {
      ...{ ramBytes: 256 * MIB, processors, frequencyHz: SECOND, startTime: 1_700_000_000 },
      ...{ serial: [console, new Text()], disks: [], seed: 1 },
    };
    return { console, options };
  }

  function run(pc: Pc | L0Pc, console: Text, limit: number, until = ''): Outcome {
    const modules = [{ name: 'initrd', bytes: guest.initrd, commandLine: '' }];
    pc.boot({
      kernel: guest.kernel,
      kernelName: 'vmlinuz',
      commandLine: `console=ttyS0 panic=-1 ${BATCH_WORD}`,
      modules,
    });
    for (let end = Math.min(SLICE, limit); ; end = Math.min(end + SLICE, limit)) {
      const outcome = pc.run(end);
      if (outcome !== 'limit' || end === limit || (until !== '' && console.text.includes(until))) break;
    }
    return { console: console.text, end: pc.end, ticks: pc.machine.ticks, instructions: pc.machine.instructions };
  }

  /** Without VMX and MONITOR, which L0 does not show either. */
  function bare(processors: number, limit: number): Outcome {
    const { console, options } = settings(processors);
    return run(new Pc({ ...options, cpuFeatures: ['-monitor'] }), console, limit);
  }

  test('the same console, the same number of instructions, the same time as without L0', () => {
    const { console, options } = settings(1);
    const recorder = new RunRecorder();
    const pc = new L0Pc({ ...options, vmxProfile: 'modern-1', l0: { recorder } });
    const under = run(pc, console, LONGEST);
    assert.deepEqual(under.end, { kind: 'powerOff' });
    assert.ok(under.console.includes(MARKERS.selfCheckPassed), under.console.slice(-500));
    assert.deepEqual(under, bare(1, LONGEST));
    assert.equal(pc.l0.l1.unemulated.size, 0);
    const exits = new Map(
      recorder
        .exitsOf(1)
        .counts()
        .map(({ reason, samples }) => [reason, samples]),
    );
    for (const reason of [
      'APIC_ACCESS',
      'EPT_VIOLATION',
      'MSR_WRITE',
      'INTERRUPT_WINDOW',
      'EXTERNAL_INTERRUPT',
    ] as const) {
      assert.ok((exits.get(EXIT_REASON[reason]) ?? 0) > 10, reason);
    }
  });

  test('the same with two processors, as far as user space', () => {
    const { console, options } = settings(2);
    const limit = 0.6 * SECOND;
    const under = run(new L0Pc({ ...options, vmxProfile: 'modern-1' }), console, limit);
    assert.match(under.console, /smp: Brought up 1 node, 2 CPUs/);
    assert.deepEqual(under, bare(2, limit));
  });

  test("the paper's hardware, with the memory of L1 shuffled", () => {
    const { console, options } = settings(1);
    const under = run(new L0Pc({ ...options, vmxProfile: 'paper-1', permute: 7 }), console, LONGEST);
    assert.deepEqual(under.end, { kind: 'powerOff' });
    assert.ok(under.console.includes(MARKERS.selfCheckPassed), under.console.slice(-500));
  });

  test('started in x2APIC mode', () => {
    const { console, options } = settings(1);
    const pc = new L0Pc({ ...options, vmxProfile: 'modern-1' });
    assert.ok(pc.l0.vcpus[0].localApic.writeMsr(0x1b, 0xfee00d00, 0));
    const text = 'Run /init as init process';
    const under = run(pc, console, LONGEST, text);
    assert.match(under.console, /x2apic: enabled by BIOS, switching to x2apic ops/);
    assert.ok(under.console.includes(text), under.console.slice(-500));
  });
});
