// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { UserError } from '../../src/base/errors.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { BATCH_WORD, MARKERS, SELF_CHECK_SHA256, plainGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { Pc } from '../../src/system/pc.ts';
import { machineState } from '../machine/state.ts';

const RAM = 256 << 20;
/** Where the two runs are compared in between. */
const EARLY = 20_000_000;
/** Ticks after which a guest that has not powered off is given up. */
const LIMIT = 8e9;
/** The only registers that Debian's kernel asks for in vain; it expects that of each. */
// prettier-ignore
const UNKNOWN_MSRS: ReadonlyMap<number, string> = new Map([
  [0x3a,       'IA32_FEATURE_CONTROL: there without VMX only on processors with SMX or SGX'],
  [0x4e,       'IA32_PPIN_CTL: server processors of this model have it'],
  [0xc0011029, 'DE_CFG of AMD: to be saved over suspend where LFENCE waits for everything'],
]);

class Run {
  readonly console = new ConsoleChannel();
  readonly pc: Pc;

  constructor(guest: PreparedGuest) {
    this.pc = new Pc({
      ramBytes: RAM,
      processors: 1,
      startTime: 1_700_000_000,
      serial: [this.console, new ConsoleChannel()],
      disks: [],
      frequencyHz: 1e9,
      seed: 1,
    });
    this.pc.boot({
      kernel: guest.kernel,
      kernelName: 'vmlinuz',
      commandLine: `${guest.commandLine} ${BATCH_WORD}`,
      modules: [{ name: 'initrd', bytes: guest.initrd, commandLine: '' }],
    });
  }

  to(end: number, slice: number): void {
    for (let at = this.pc.machine.ticks; at < end && !this.pc.end; at += slice) this.pc.run(Math.min(end, at + slice));
  }

  get text(): string {
    return Buffer.from(this.console.transcript).toString('latin1');
  }
}

describe("Debian's kernel", () => {
  let unreachable: string | undefined;
  let first: Run;
  let second: Run;
  let early: ReturnType<typeof machineState>[];

  before(async () => {
    let guest: PreparedGuest;
    try {
      guest = await prepareGuest(plainGuest(), nodeImageHost());
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unreachable = error.message;
      return;
    }
    first = new Run(guest);
    second = new Run(guest);
    first.to(EARLY, EARLY);
    second.to(EARLY, 1000);
    early = [machineState(first.pc.machine), machineState(second.pc.machine)];
    first.to(LIMIT, 10_000_000);
    second.to(LIMIT, 7_654_321);
  });

  /** A test that needs the guest. */
  const booted = (name: string, body: () => void): void =>
    void test(name, (context) => {
      if (unreachable === undefined) return body();
      context.skip(`Debian's packages cannot be had: ${unreachable}`);
    });

  booted('boots to userspace, computes the right sum, and powers off', () => {
    const { text } = first;
    assert.match(text, /Run \/init as init process/, text.slice(-2000));
    assert.ok(text.includes(`sha256 of 16 MiB: ${SELF_CHECK_SHA256}`), text.slice(-2000));
    assert.ok(text.includes(MARKERS.selfCheckPassed));
    assert.ok(text.includes(MARKERS.poweringOff));
    assert.deepEqual(first.pc.end, { kind: 'powerOff' });
  });

  booted('knows the frequency of the TSC without measuring it, and keeps time by it', () => {
    const { text } = first;
    assert.match(text, /tsc: Detected 1000\.000 MHz processor/);
    assert.match(text, /Calibrating delay loop \(skipped\), value calculated using timer frequency/);
    assert.match(text, /TSC deadline timer available/);
    assert.match(text, /clocksource: Switched to clocksource tsc\r?\n/);
    assert.doesNotMatch(text, /PIT calibration|HPET|Fast TSC calibration|Marking TSC unstable|refined TSC/i);
  });

  booted('sees no reason for a mitigation that costs something at each entry of the kernel', () => {
    const costly =
      /retpoline|\bLFENCE\b|SW BHB|Kernel\/User page tables isolation: enabled|Clear CPU buffers|VERW|untrained return|Safe RET|Mitigation: IBRS\b|Mitigation: PTE Inversion|Speculative Store Bypass: Mitigation/i;
    const lines = first.text.split(/\r?\n/).filter((line) => costly.test(line));
    assert.deepEqual(lines, []);
    assert.match(first.text, /Spectre V2 : Mitigation: Enhanced/);
  });

  booted('complains of nothing', () => {
    const bad =
      /\b(BUG|WARNING|Oops|panic|Call Trace|unchecked MSR|general protection|invalid opcode|soft lockup|timed out|Unexpected)\b/;
    const lines = first.text.split(/\r?\n/).filter((line) => bad.test(line) && !/Command line|command line/.test(line));
    assert.deepEqual(lines, []);
  });

  booted(
    'uses no instruction that is missing and no unknown registers but those that are known to be asked for',
    () => {
      const [unit] = first.pc.machine.processors;
      assert.deepEqual([...unit.decoding.routines.missing], []);
      const unknown = [...unit.cpu.environment.msrs.unknown.keys()].filter((index) => !UNKNOWN_MSRS.has(index));
      assert.deepEqual(
        unknown.map((index) => index.toString(16)),
        [],
      );
    },
  );

  booted('does the same in slices of 1000 instructions', () => {
    assert.equal(early[0].ticks, EARLY);
    assert.deepEqual(early[1], early[0]);
  });

  booted('does the same each time, to the byte and to the instruction', () => {
    assert.equal(second.text, first.text);
    assert.deepEqual(second.pc.end, first.pc.end);
    assert.deepEqual(machineState(second.pc.machine), machineState(first.pc.machine));
  });
});
