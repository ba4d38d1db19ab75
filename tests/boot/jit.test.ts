// SPDX-License-Identifier: Apache-2.0
// Debian's kernel with all of its code compiled before it runs, with code compiled as soon as it is warm, with none, and
// as usual: nobody in the machine can tell.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { UserError } from '../../src/base/errors.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import type { PreparedGuest } from '../../src/images/build.ts';
import { BATCH_WORD, SELF_CHECK_SHA256, plainGuest } from '../../src/images/recipes.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { Pc } from '../../src/system/pc.ts';
import { machineState } from '../machine/state.ts';

const SLICE = 1e8;
/** Ticks after which a guest that has not powered off is given up. */
const LIMIT = 8e9;

function boot(guest: PreparedGuest, jit: JitMode) {
  const console = new ConsoleChannel();
  const pc = new Pc({
    ramBytes: 256 << 20,
    processors: 1,
    startTime: 1_700_000_000,
    serial: [console, new ConsoleChannel()],
    disks: [],
    frequencyHz: 1e9,
    seed: 1,
    jit,
  });
  pc.boot({
    kernel: guest.kernel,
    kernelName: 'vmlinuz',
    commandLine: `${guest.commandLine} ${BATCH_WORD}`,
    modules: [{ name: 'initrd', bytes: guest.initrd, commandLine: '' }],
  });
  for (let end = SLICE; end <= LIMIT && pc.run(end) === 'limit'; end += SLICE);
  const { machine } = pc;
  const text = Buffer.from(console.transcript).toString('latin1');
  const outcome = { text, end: pc.end, instructions: machine.instructions, state: machineState(machine) };
  return { outcome, counts: machine.processors[0].decoding.jit.counts };
}

describe("Debian's kernel, compiled or not", () => {
  let unreachable: string | undefined;
  let guest: PreparedGuest;
  let usual: ReturnType<typeof boot>;

  before(async () => {
    try {
      guest = await prepareGuest(plainGuest(), nodeImageHost());
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unreachable = error.message;
      return;
    }
    usual = boot(guest, 'on');
  });

  test('as usual it boots and powers off, in part compiled', (context) => {
    if (unreachable !== undefined) return context.skip(unreachable);
    assert.deepEqual(usual.outcome.end, { kind: 'powerOff' });
    assert.ok(usual.outcome.text.includes(SELF_CHECK_SHA256), usual.outcome.text.slice(-2000));
    assert.ok(usual.counts.regions > 50 && usual.counts.samplesInRegions > 0);
  });

  /** Regions at least and at most. */
  // prettier-ignore
  const MODES: readonly [JitMode, number, number][] = [['off', 0, 0], ['soon', 1000, Infinity], ['eager', 20_000, Infinity]];
  for (const [mode, least, most] of MODES)
    test(`${mode}: the same console, the same end, the same number of instructions, the same state`, (context) => {
      if (unreachable !== undefined) return context.skip(unreachable);
      const { outcome, counts } = boot(guest, mode);
      assert.ok(counts.regions >= least && counts.regions <= most, `${counts.regions} regions`);
      assert.equal(outcome.text, usual.outcome.text);
      assert.equal(outcome.instructions, usual.outcome.instructions);
      assert.deepEqual(outcome, usual.outcome);
    });
});
