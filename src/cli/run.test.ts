// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { InternalError } from '../base/assert.ts';
import { startProfile } from '../platform/node/profiler.ts';
import { PROFILE_ROWS } from '../system/profile-rows.ts';
import { Failures } from './failures.ts';
import { FakeHost } from './fake-host.test.ts';
import { parseRunArguments } from './run-options.ts';
import { echo, halt, loop, powerOff, reset, say, spin, testKernel } from './test-kernels.test.ts';
import { VERSION } from './version.ts';

/** `turtles run linux --bare` with a kernel of this code. */
async function run(code: readonly (readonly number[])[], args: readonly string[], host = new FakeHost()) {
  host.files.set('k', testKernel(code.flat()));
  const status = await host.run('run', ...args, '--bare', '--kernel', 'k', '--memory', '16M');
  return { status, output: host.output, errors: host.errors, host };
}

describe('turtles run --batch with an own kernel', () => {
  it('shows consoles line by line with their levels, then tables and a summary, and ends with 0', async () => {
    const { status, output, errors } = await run(
      [say('one\r\nt'), say('inner\n', 0x2f8), say('wo'), powerOff],
      ['--batch'],
    );
    assert.deepEqual({ status, errors }, { status: 0, errors: '' });
    assert.match(
      output,
      /^L1: one\nL2: inner\nL1: two\n\nExits of L1: it owns the machine, nothing is under it\.\n\nExits of L2: none\.\n\n/,
    );
    assert.match(
      output,
      /\n\d+ instructions, 0\.000 virtual seconds, [\d.]+ host seconds .* MIPS\nmissing opcodes: none\nunknown MSRs: none\nunclaimed ports: none\n$/,
    );
  });

  for (const [name, code, reason] of [
    ['a reset', reset, /^turtles: the machine was reset\n/],
    [
      'a halt for good',
      halt,
      /^turtles: every processor waits for an interrupt that does not come\n {2}processor 0: in L1, halted\n/,
    ],
  ] as const) {
    it(`ends with 1 after ${name}, and shows what was said last`, async () => {
      const { status, errors } = await run([say('last words'), code, spin], ['linux', '--batch']);
      assert.equal(status, 1);
      assert.match(errors, reason);
      assert.match(errors, /last lines of L1's console:\n {4}last words\n/);
    });
  }

  it('gives up after --timeout with 124', async () => {
    const { status, errors } = await run([say('x'), spin], ['linux', '--batch', '--timeout', '0.1']);
    assert.equal(status, 124);
    assert.match(
      errors,
      /^turtles: the time of --timeout was over\n {2}processor 0: in L1, at 0x10\w{4}, interrupts off\n {2}give it longer than --timeout 0\.1\n/,
    );
  });

  it('ends with 0 at the instruction that completes the text of --until, and with 1 when it never comes', async () => {
    const until = ['linux', '--batch', '--until', 'lo w'];
    const whole = await run([say('hello world'), powerOff], until);
    assert.equal(whole.status, 0);
    assert.match(whole.output, /^L1: hello w\n/);
    const never = await run([say('hello'), powerOff], until);
    assert.equal(never.status, 1);
    assert.match(never.errors, /^turtles: no console showed "lo w": the machine was powered off\n/);
  });

  it('writes a report that is the same for any slices', async () => {
    const report = async (slice: string) => {
      const { host } = await run([say('hello\n'), powerOff], ['linux', '--batch', '--json', 'out', '--slice', slice]);
      return JSON.parse(String(host.files.get('out'))) as Record<string, unknown>;
    };
    const [one, other] = [await report('7'), await report('1000000')];
    assert.equal(one.schema, 'turtles-run-1');
    assert.deepEqual(one.result, { ok: true, reason: 'the machine was powered off' });
    assert.deepEqual({ ...one, host: 0 }, { ...other, host: 0 });
    assert.match(String(one.memorySha256), /^[0-9a-f]{64}$/);
  });

  it('documents every member of the report', async () => {
    const { host } = await run([powerOff], ['linux', '--batch', '--json', 'out']);
    const text = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');
    for (const name of Object.keys(JSON.parse(String(host.files.get('out'))) as object))
      assert.match(text, new RegExp(`\`${name}[\`.[]`), name);
  });

  it('says in the report what --jit was, which changes nothing but `host`', async () => {
    const report = async (mode: string) => {
      const { host } = await run(
        [say('hello\n'), loop, powerOff],
        ['linux', '--batch', '--json', 'out', '--jit', mode],
      );
      return JSON.parse(String(host.files.get('out'))) as { host: { jit: { mode: string; regions: number } } };
    };
    const reports = [await report('off'), await report('on'), await report('soon'), await report('eager')];
    for (const one of reports) assert.deepEqual({ ...one, host: 0 }, { ...reports[0], host: 0 });
    assert.deepEqual(
      reports.map(({ host }) => host.jit.mode),
      ['off', 'on', 'soon', 'eager'],
    );
    const [off, , soon, eager] = reports.map(({ host }) => host.jit.regions);
    assert.ok(off === 0 && soon > 0 && eager > 0);
  });
});

describe('turtles run --profile', () => {
  it('says what the processor time of the process went into, all rows of it, and what was compiled', async () => {
    const cpu = process.cpuUsage();
    const host = new FakeHost({ startProfile });
    const { status, output } = await run(
      [loop, powerOff],
      ['linux', '--batch', '--profile', '--json', 'out', '--jit', 'soon'],
      host,
    );
    assert.equal(status, 0);
    for (const { name } of PROFILE_ROWS) assert.match(output, new RegExp(`\n${name} +\\d+\\.\\d\\d +[\\d.]+ %`), name);
    assert.match(output, /\nguests' code compiled \(--jit soon\): \d+ regions of \d+ instructions/);
    const report = JSON.parse(String(host.files.get('out'))) as { host: { profile: Record<string, number> } };
    const { profile } = report.host;
    assert.deepEqual(
      Object.keys(profile),
      PROFILE_ROWS.map(({ name }) => name),
    );
    const total = Object.values(profile).reduce((sum, seconds) => sum + seconds);
    const { user, system } = process.cpuUsage();
    assert.ok(total >= (cpu.user + cpu.system) / 1e6 && total <= (user + system) / 1e6, String(total));
  });

  it('is not said unless asked for', async () => {
    const { output, host } = await run([powerOff], ['linux', '--batch', '--json', 'out']);
    assert.doesNotMatch(output, /interpreter|compiled/);
    assert.ok(!String(host.files.get('out')).includes('"profile"'));
  });
});

describe('memory that this computer does not have', () => {
  it('is refused before the guest starts, with what there is and what it takes', async () => {
    const host = new FakeHost({ memoryAvailable: () => 100 * 2 ** 20 });
    const { status, output, errors } = await run([say('x'), powerOff], ['linux', '--batch'], host);
    assert.deepEqual([status, output], [1, '']);
    assert.equal(
      errors,
      'turtles: this computer has 100 MiB of memory left, and a machine of 16 MiB needs 186 MiB with our own\n  give the machine less with --memory, or end other programs\n',
    );
    const enough = new FakeHost({ memoryAvailable: () => 186 * 2 ** 20 });
    assert.equal((await run([powerOff], ['linux', '--batch'], enough)).status, 0);
  });
});

describe('turtles run at a terminal', () => {
  const terminal = () => new FakeHost({ hasTerminal: true, inputIsTerminal: true });

  it('joins the terminal when the guest first speaks, passes keys, and gives it back', async () => {
    const host = terminal();
    host.onPause = () => host.terminal?.onKeys(Uint8Array.of(0x71));
    const { status, output } = await run([say('?'), echo, powerOff], ['linux'], host);
    assert.deepEqual([status, output, host.restored], [0, '?q\r\n', 1]);
  });

  it('leaves with 0 on Ctrl-A x', async () => {
    const host = terminal();
    host.onPause = () => host.terminal?.onCommand('leave');
    const { status } = await run([say('?'), spin], ['linux'], host);
    assert.deepEqual([status, host.restored], [0, 1]);
  });

  it('does not take the terminal before', async () => {
    const host = terminal();
    await run([say('x'), powerOff], ['main'], host);
    assert.equal(host.terminal, undefined);
    assert.match(host.output, /^L1: x\n/);
  });

  it('says at once when there is none', async () => {
    const { status, errors } = await run([powerOff], ['linux']);
    assert.equal(status, 1);
    assert.equal(
      errors,
      'turtles: the shell needs a terminal, and standard input or output is none\n  run with --batch, which needs no terminal\n',
    );
  });
});

describe('options of turtles run', () => {
  const parse = (...args: string[]) => parseRunArguments(args, () => {});

  it('have defaults', () => {
    assert.deepEqual(parse(), {
      description: 'main',
      bare: false,
      batch: false,
      paging: 'multi-dimensional',
      cpu: 'modern',
      seed: 1,
      frequency: 1e9,
      jit: 'on',
      profile: false,
      onEntryFailure: 'report',
    });
  });

  it('are read', () => {
    const args =
      'linux --bare --batch --paging shadow-on-ept --cpu paper --memory 1.5G --json j --until u --timeout 2.5 --trace t --kernel k --initrd i --append a --seed 0x10 --frequency 500M --slice 1000 --jit soon --profile --on-entry-failure stop --symbols m';
    assert.deepEqual(parse(...args.split(' ')), {
      ...{
        description: 'linux',
        bare: true,
        batch: true,
        paging: 'shadow-on-ept',
        cpu: 'paper',
        memory: 1.5 * 2 ** 30,
      },
      ...{
        json: 'j',
        until: 'u',
        timeout: 2.5,
        trace: 't',
        kernel: 'k',
        initrd: 'i',
        append: 'a',
        seed: 16,
        frequency: 5e8,
        slice: 1000,
        jit: 'soon',
        profile: true,
        onEntryFailure: 'stop',
        symbols: 'm',
      },
    });
  });

  it('can be asked for', () => {
    let text = '';
    assert.equal(
      parseRunArguments(['--help'], (part) => void (text += part)),
      undefined,
    );
    for (const word of ['--bare', '--paging', '--until', 'main', 'linux']) assert.ok(text.includes(word), word);
  });
});

describe('a bug of ours', () => {
  it('is said to be one, with the instruction count, and leaves a file that repeats it', () => {
    const fake = new FakeHost();
    const failures = new Failures(fake.host, 'turtles', ['run', '--bare']);
    failures.run = {
      options: { seed: 1 },
      instructions: () => 812443109,
      journal: () => ({ slices: [[5, 1]], inputs: [], resets: [] }),
    };
    assert.equal(failures.report(new InternalError('no such page')), 70);
    assert.equal(
      fake.errors,
      'turtles: a bug of ours, not of the guest or yours, after 812,443,109 instructions: no such page\n  turtles replay turtles-bug.json repeats it: send that file with the report\n',
    );
    const replay = JSON.parse(String(fake.files.get('turtles-bug.json'))) as Record<string, unknown>;
    assert.deepEqual(
      [replay.schema, replay.arguments, replay.options, replay.instructions],
      ['turtles-replay-2', ['run', '--bare'], { seed: 1 }, 812443109],
    );
  });
});

it('the version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.equal(VERSION, version);
});
