// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InternalError } from '../../base/assert.ts';
import { Machine } from '../../machine/machine.ts';
import { FakeHost } from '../fake-host.test.ts';
import { echo, loop, powerOff, reset, say, spin, testKernel } from '../test-kernels.test.ts';

const OWN = ['linux', '--bare', '--kernel', 'k', '--memory', '16M'];
const BUG = 'no such page';

function hostWith(code: readonly (readonly number[])[], changes = {}): FakeHost {
  const host = new FakeHost(changes);
  host.files.set('k', testKernel(code.flat()));
  return host;
}

/** Another process in the same folder. */
function next(host: FakeHost, changes = {}): FakeHost {
  const other = new FakeHost(changes);
  for (const [path, content] of host.files)
    other.files.set(path, typeof content === 'string' ? Buffer.from(content) : content);
  return other;
}

type Run = (this: Machine, limit: number) => ReturnType<Machine['run']>;
const { value: machineRun } = Object.getOwnPropertyDescriptor(Machine.prototype, 'run') as { value: Run };

/** Runs with `run` in place of the machine's. */
async function withRun<T>(run: Run, action: () => Promise<T>): Promise<T> {
  Machine.prototype.run = run;
  return action().finally(() => (Machine.prototype.run = machineRun));
}

/** Runs with a bug in the machine: it comes up once so many instructions have been retired. */
function withBug<T>(after: number, action: () => Promise<T>): Promise<T> {
  return withRun(function (limit) {
    const outcome = machineRun.call(this, Math.min(limit, Math.max(this.ticks, after)));
    if (this.instructions >= after) throw new InternalError(BUG);
    return outcome;
  }, action);
}

/** The same, in the third machine, which the second's reset made. */
function withBugInThird<T>(action: () => Promise<T>): Promise<T> {
  const machines = new Set<Machine>();
  return withRun(function (limit) {
    machines.add(this);
    const outcome = machineRun.call(this, limit);
    if (machines.size === 3 && this.instructions > 1000) throw new InternalError(BUG);
    return outcome;
  }, action);
}

describe('turtles replay', () => {
  it('runs what --record has written to the same instruction, whatever the slices were', async () => {
    for (const slices of [[], ['--slice', '777']]) {
      const host = hostWith([say('hello\n'), loop, powerOff]);
      assert.equal(await host.run('run', ...OWN, '--batch', '--record', 'r', ...slices), 0);
      const { instructions } = JSON.parse(String(host.files.get('r'))) as { instructions: number };
      assert.ok(instructions > 200_000);
      const again = next(host);
      assert.equal(await again.run('replay', 'r'), 0);
      assert.match(again.output, /^L1: hello\n/);
      assert.match(again.errors, new RegExp(`replayed to instruction ${instructions.toLocaleString('en')}\n`));
    }
  });

  it('stops at the instruction of --to and shows the registers there', async () => {
    const host = hostWith([loop, powerOff]);
    await host.run('run', ...OWN, '--batch', '--record', 'r');
    const ecxAt = async (instruction: number): Promise<number> => {
      const again = next(host);
      assert.equal(await again.run('replay', 'r', '--to', String(instruction)), 0);
      assert.match(again.output, /CPU#0 in L1\nRAX=/);
      return parseInt(/RCX=(\w+)/.exec(again.output)![1]!, 16);
    };
    // mov ecx; then dec and jnz in turns
    assert.deepEqual(
      [await ecxAt(1), await ecxAt(2), await ecxAt(3), await ecxAt(4)],
      [100_000, 99_999, 99_999, 99_998],
    );
    assert.equal(await ecxAt(150_001), 25_000);
    const beyond = next(host);
    assert.equal(await beyond.run('replay', 'r', '--to', '99999999'), 1);
    assert.match(beyond.errors, /--to 99999999: r ends at instruction \d+\n/);
  });

  it('brings in what was typed, where it was typed', async () => {
    const host = hostWith([say('?'), echo, echo, say('\n'), powerOff], { hasTerminal: true, inputIsTerminal: true });
    let typed = 0;
    host.onPause = (pauses) => {
      if (pauses % 3 === 0 && typed < 2) host.terminal?.onKeys(Uint8Array.of(0x61 + typed++));
    };
    assert.equal(await host.run('run', ...OWN, '--record', 'r'), 0);
    assert.match(host.output, /\?ab/);
    const again = next(host);
    assert.equal(await again.run('replay', 'r'), 0);
    assert.match(again.output, /^L1: \?ab\n/);
  });

  it('meets the bug again that ended a run, and says when it does not', async () => {
    const host = hostWith([say('x\n'), loop, powerOff]);
    const status = await withBug(1234, () => host.run('run', ...OWN, '--batch'));
    assert.equal(status, 70);
    assert.match(
      host.errors,
      /a bug of ours.*after 1,234 instructions: no such page\n {2}turtles replay turtles-bug\.json repeats it/,
    );
    const again = next(host);
    assert.equal(await withBug(1234, () => again.run('replay', 'turtles-bug.json')), 70);
    assert.match(again.errors, /^turtles: the recorded bug, again after 1,234 instructions: no such page\n/);
    assert.equal(again.files.size, host.files.size, 'the file stays');
    const mended = next(host);
    assert.equal(await mended.run('replay', 'turtles-bug.json'), 1);
    assert.match(mended.errors, /the bug that turtles-bug\.json recorded did not come again/);
    const before = next(host);
    assert.equal(await withBug(1234, () => before.run('replay', 'turtles-bug.json', '--to', '1233')), 0);
    assert.match(before.errors, /replayed to instruction 1,233\n/);
  });

  it('goes through resets, as turtles qemu does', async () => {
    const host = hostWith([say('x'), loop, reset, spin]);
    const qemu = ['qemu', '-nodefaults', '-m', '16', '-serial', 'stdio', '-kernel', 'k'];
    assert.equal(await withBugInThird(() => host.run(...qemu)), 70);
    const again = next(host);
    assert.equal(await withBugInThird(() => again.run('replay', 'turtles-bug.json')), 70);
    assert.equal(/after ([\d,]+)/.exec(again.errors)![1], /after ([\d,]+)/.exec(host.errors)![1]);
  });

  it('refuses other files than those that were recorded', async () => {
    const host = hostWith([powerOff]);
    await host.run('run', ...OWN, '--batch', '--record', 'r');
    const other = next(host);
    other.files.set('k', testKernel([...say('y'), ...powerOff]));
    assert.equal(await other.run('replay', 'r'), 1);
    assert.match(other.errors, /^turtles: r was recorded with another kernel: "\w{64}", and now it is "\w{64}"\n/);
  });

  for (const [name, text, message] of [
    ['no JSON', 'x', /bad is no file to replay: it is no JSON/],
    ['another schema', '{"schema":"turtles-run-1"}', /bad is no file to replay: schema: /],
    ['a part missing', '{"schema":"turtles-replay-2","node":"1"}', /bad is no file to replay: arguments: /],
    [
      'no run',
      '{"schema":"turtles-replay-2","node":"1","arguments":["--version"]}',
      /bad records no run, but: turtles --version/,
    ],
    [
      'no machine',
      '{"schema":"turtles-replay-2","node":"1","arguments":["run","linux","--bare","--kernel","k"]}',
      /bad: no machine ran/,
    ],
  ] as const) {
    it(`says what is wrong with a file: ${name}`, async () => {
      const host = hostWith([powerOff]);
      host.files.set('bad', Buffer.from(text));
      assert.equal(await host.run('replay', 'bad'), 1);
      assert.match(host.errors, message);
    });
  }

  it('says what is missing', async () => {
    const host = new FakeHost();
    assert.equal(await host.run('replay'), 1);
    assert.match(host.errors, /missing required argument 'file'\n {2}write turtles replay FILE/);
    assert.equal(await host.run('replay', '--help'), 0);
    assert.match(host.output, /--to <instruction>/);
  });
});
