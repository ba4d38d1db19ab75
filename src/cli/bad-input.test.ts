// SPDX-License-Identifier: Apache-2.0
// The command line as users start it, with what they get wrong: one message that names the thing and the way out, a
// status that is not 0, and no stack trace.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { syntheticBzImage } from '../boot/synthetic-kernels.ts';
import { say, spin, testKernel } from './test-kernels.test.ts';

const TURTLES = fileURLToPath(new URL('turtles.ts', import.meta.url));
const OWN = ['run', 'linux', '--bare', '--batch'];

// prettier-ignore
const CASES: readonly [name: string, args: readonly string[], message: RegExp][] = [
  ['no command',                  [],                                                         /no command was given/],
  ['an unknown command',          ['jump'],                                                   /there is no command jump/],
  ['an unknown description',      ['run', 'windows', '--bare', '--batch'],                    /no description named windows/],
  ['an unknown option',           ['run', '--fast'],                                          /unknown option '--fast'/],
  ['an option without its value', ['run', '--json'],                                          /--json <file>' argument missing/],
  ['too many words',              ['run', 'main', 'linux'],                                   /too many arguments/],
  ['an unknown choice',           ['run', '--paging', 'none'],                                /--paging none: there is no such choice/],
  ['an unknown --jit',            ['run', '--jit', 'fast'],                                   /--jit fast: there is no such choice\n {2}choose one of: on, off, eager, soon/],
  ['an unknown --on-entry-failure', ['run', '--on-entry-failure', 'ignore'],                  /--on-entry-failure ignore: there is no such choice\n {2}choose one of: report, stop/],
  ['missing symbols',             [...OWN, '--kernel', 'guest', '--symbols', 'missing'],      /cannot read missing/],
  ['a kernel as symbols',         [...OWN, '--kernel', 'guest', '--symbols', 'kernel'],       /kernel is no list of symbols: line 1 .*\n {2}.*System\.map/],
  ['an empty list of symbols',    [...OWN, '--kernel', 'guest', '--symbols', 'empty'],        /empty/],
  ['hidden symbols',              [...OWN, '--kernel', 'guest', '--symbols', 'hidden'],       /hidden has 0 for every address.*\n {2}.*as root/],
  ["QEMU's with a wrong -on-entry-failure", ['qemu', '-on-entry-failure', 'x', '-kernel', 'guest'],  /-on-entry-failure x: there is no such choice/],
  ["QEMU's with missing symbols", ['qemu', '-kernel', 'guest', '-symbols', 'missing'],        /cannot read missing/],
  ['no terminal',                 ['run', '--bare'],                                          /needs a terminal.*\n {2}run with --batch/],
  ['a missing kernel',            [...OWN, '--kernel', 'missing'],                            /cannot read missing: there is no such file/],
  ['a folder as kernel',          [...OWN, '--kernel', '.'],                                  /cannot read \.: it is a folder/],
  ['an empty kernel',             [...OWN, '--kernel', 'empty'],                              /empty is empty/],
  ['a text as kernel',            [...OWN, '--kernel', 'text'],                               /text is not a kernel/],
  ['a truncated kernel',          [...OWN, '--kernel', 'truncated'],                          /truncated/],
  ['a missing initrd',            [...OWN, '--kernel', 'kernel', '--initrd', 'missing'],      /cannot read missing/],
  ['a text as initrd',            [...OWN, '--kernel', 'kernel', '--initrd', 'text'],         /text is no initial ramdisk/],
  ['a truncated initrd',          [...OWN, '--kernel', 'kernel', '--initrd', 'cut'],          /cut is truncated or damaged/],
  ['an initrd alone',             [...OWN, '--initrd', 'text'],                               /--initrd needs a kernel/],
  ['too little memory',           [...OWN, '--kernel', 'kernel', '--memory', '4M'],           /too little memory: .*\n {2}.*--memory/],
  ['too little memory for L2',    ['run', 'main', '--batch', '--memory', '256M'],             /too little memory: main needs at least 320M/],
  ['far too little memory',       [...OWN, '--kernel', 'kernel', '--memory', '1M'],           /too little memory/],
  ['too much memory',             [...OWN, '--kernel', 'kernel', '--memory', '64G'],          /can have 3840 MiB at most/],
  ['no size',                     [...OWN, '--memory', 'much'],                               /--memory much: that is no size/],
  ['no number',                   [...OWN, '--timeout', 'soon'],                              /--timeout soon/],
  ['no wedge timeout',            [...OWN, '--wedge-timeout', 'soon'],                        /--wedge-timeout soon: that is no number of virtual seconds/],
  ['a report in no folder',       [...OWN, '--kernel', 'guest', '--until', 'x', '--json', 'no/out'], /cannot write no\/out: there is no such file or folder/],
  ['a trace in no folder',        [...OWN, '--kernel', 'guest', '--trace', 'no/out'],         /cannot write no\/out/],
  ['nothing to boot',             ['qemu'],                                                   /nothing to boot\n {2}give a kernel with -kernel/],
  ["QEMU's unknown option",       ['qemu', '-hda-typo'],                                      /-hda-typo: invalid option/],
  ["QEMU's missing argument",     ['qemu', '-kernel'],                                        /-kernel: requires an argument/],
  ['an unknown device',           ['qemu', '-device', 'edu'],                                 /'edu' is not a valid device model name/],
  ['an unknown CPU feature',      ['qemu', '-cpu', 'max,+levitation', '-kernel', 'guest'],    /levitation/],
  ['a missing disk',              ['qemu', '-kernel', 'guest', '-drive', 'file=missing,format=raw,if=virtio'], /cannot open missing/],
  ['a disk of odd size',          ['qemu', '-kernel', 'guest', '-drive', 'file=text,format=raw,if=virtio'],    /text is no raw disk image/],
  ['a qcow2 disk',                ['qemu', '-kernel', 'guest', '-drive', 'file=qcow2,format=raw,if=virtio'],   /qcow2 is a qcow2 image/],
  ['a disk image as a word',      ['qemu', 'disk.img'],                                       /disk\.img: a disk image can only be given by option/],
];

/** Runs the command line to its end, with nothing at standard input. */
function turtles(args: readonly string[], cwd: string): Promise<{ status: number | null; errors: string }> {
  const child = spawn(process.execPath, [TURTLES, ...args], { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, errors })));
}

describe('bad input', { concurrency: 3 }, () => {
  let folder = '';
  const path = (name: string) => join(folder, name);
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'turtles-bad-input-'));
    const kernel = syntheticBzImage();
    writeFileSync(path('kernel'), kernel);
    writeFileSync(path('truncated'), kernel.subarray(0, kernel.length - 0x1000));
    writeFileSync(path('empty'), '');
    writeFileSync(path('hidden'), '0000000000000000 T _text\n0000000000000000 t kvm_init\t[kvm]\n');
    writeFileSync(path('text'), 'I am no kernel, and no ramdisk.\n');
    writeFileSync(path('cut'), `070701${'0'.repeat(104)}`);
    writeFileSync(path('guest'), testKernel([...say('x'), ...spin]));
    writeFileSync(path('qcow2'), Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(508)]));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const [name, args, message] of CASES) {
    it(`${name}: one message, the way out, not 0`, async () => {
      const { status, errors } = await turtles(args, folder);
      assert.match(errors, message);
      assert.match(errors, /^turtles(-qemu)?: [^\n]+\n {2}[^\n]+\n$/, 'two lines');
      assert.equal(status, 1);
      assert.ok(!existsSync(path('turtles-bug.json')));
    });
  }

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    it(`${signal} while a guest runs ends with ${status}, and what it said is kept`, async () => {
      const child = spawn(
        process.execPath,
        [TURTLES, 'qemu', '-kernel', 'guest', '-m', '16', '-serial', `file:said-${status}`, '-serial', 'stdio'],
        { cwd: folder, stdio: 'ignore' },
      );
      const ended = new Promise((resolve) => child.on('exit', (code, by) => resolve(code ?? by)));
      const said = () => existsSync(path(`said-${status}`)) && readFileSync(path(`said-${status}`), 'utf8') === 'x';
      while (!said() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill(signal);
      assert.equal(await ended, status);
    });
  }

  it('says nothing when nobody reads its help any more', () => {
    const done = spawnSync('sh', ['-c', `"$0" "$1" qemu --help | head -1`, process.execPath, TURTLES], {
      encoding: 'utf8',
    });
    assert.match(done.stdout, /^QEMU emulator version \d+\.\d+\.\d+ [^\n]*\n$/);
    assert.equal(done.stderr, '');
  });
});
