// SPDX-License-Identifier: Apache-2.0

// tools/install.mjs and bin/, in a copy of this repository that holds nothing but them, with an npm that fails or
// succeeds as told.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const INPUTS = ['package.json', 'package-lock.json', '.npmrc', 'bin', 'tools'];

/** Pretends to be npm: counts its runs, makes node_modules, or writes `says` and fails. */
const npmThat = (says: string): string => `
  const fs = require('node:fs');
  fs.appendFileSync('npm-runs', process.argv.slice(2).join(' ') + '\\n');
  if (${JSON.stringify(says)}) { console.error(${JSON.stringify(says)}); process.exit(1); }
  fs.mkdirSync('node_modules', { recursive: true });`;

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly error: string;
}

let copy = '';

function run(file: string, args: readonly string[] = [], env: Record<string, string> = {}): Outcome {
  const done = spawnSync(process.execPath, [join(copy, file), ...args], {
    encoding: 'utf8',
    env: { ...process.env, npm_execpath: join(copy, 'npm.js'), npm_node_execpath: process.execPath, ...env },
  });
  return { status: done.status, output: done.stdout, error: done.stderr };
}

function prepare(npmSays: string): void {
  rmSync(join(copy, 'node_modules'), { recursive: true, force: true });
  rmSync(join(copy, 'npm-runs'), { force: true });
  writeFileSync(join(copy, 'npm.js'), `(function () {${npmThat(npmSays)}})();`);
}

function makeCopy(): void {
  copy = mkdtempSync(join(tmpdir(), 'turtles-install-'));
  for (const name of INPUTS) cpSync(join(root, name), join(copy, name), { recursive: true });
  writeFileSync(
    join(copy, 'package.json'),
    readFileSync(join(root, 'package.json'), 'utf8').replace('"module"', '"commonjs"'),
  );
}

/** Runs first in the new process: makes it believe it is another Node. */
function pretendNode(version: string): Record<string, string> {
  const file = join(copy, 'pretend.js');
  writeFileSync(file, `Object.defineProperty(process.versions, 'node', { value: '${version}' });`);
  return { NODE_OPTIONS: `--require ${file}` };
}

describe('tools/install.mjs', () => {
  before(makeCopy);
  after(() => rmSync(copy, { recursive: true }));

  it('runs npm ci once, then not until an input changes', () => {
    prepare('');
    assert.equal(run('tools/install.mjs').status, 0);
    const again = run('tools/install.mjs');
    assert.deepEqual(again, { status: 0, output: '', error: '' });
    const manifest = join(copy, 'package.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"scripts": {', '"scripts": { "another": "true",'));
    assert.deepEqual(run('tools/install.mjs'), again, 'a script of npm is no input');
    writeFileSync(join(copy, '.npmrc'), '# changed\n', { flag: 'a' });
    assert.equal(run('tools/install.mjs').status, 0);
    const runs = readFileSync(join(copy, 'npm-runs'), 'utf8').trimEnd().split('\n');
    assert.equal(runs.length, 2);
    for (const args of runs)
      assert.equal(args, 'ci --include=dev --include=optional --ignore-scripts --loglevel=error');
  });

  // prettier-ignore
  const FAILURES: readonly (readonly [npm: string, told: RegExp])[] = [
    ['npm error code ENOTFOUND',                         /registry cannot be reached/],
    ['npm error code ENOSPC\nnpm error nospc x',         /disk is full/],
    ['npm error code EACCES\nnpm error path x',          /cannot be written/],
    ['npm error code EINTEGRITY',                        /differs from the lockfile's checksum/],
    ['npm error code EUSAGE',                            /does not match package.json/],
    ['npm error code EODD\nnpm error path x\nnpm error something odd', /something odd/],
  ];
  for (const [npm, told] of FAILURES) {
    it(`says in one line what ${JSON.stringify(npm)} means, and tries again next time`, () => {
      prepare(npm);
      for (const _ of [1, 2]) {
        const { status, error } = run('tools/install.mjs');
        assert.equal(status, 1);
        const [progress = '', message = '', ...more] = error.trimEnd().split('\n');
        assert.match(progress, /installing/);
        assert.match(message, told);
        assert.deepEqual(more, []);
      }
    });
  }

  it('ends by the signal it was sent, although npm makes it a failure of its own', () => {
    prepare('');
    writeFileSync(
      join(copy, 'npm.js'),
      `process.on('SIGTERM', () => process.exit(1)); process.kill(process.ppid, 'SIGTERM'); setInterval(() => {}, 1000);`,
    );
    const { status, error } = run('tools/install.mjs');
    assert.equal(status, 128 + 15);
    assert.match(error, /stopped by SIGTERM/);
  });

  it('says when npm is missing', () => {
    prepare('');
    const { status, error } = run('tools/install.mjs', [], { npm_execpath: '', PATH: copy });
    assert.equal(status, 1);
    assert.match(error, /npm is not on the PATH/);
  });

  it('says when neither a pinned Node came nor this one runs the sources', () => {
    prepare('');
    const { status, error } = run('tools/install.mjs', [], pretendNode('20.19.0'));
    assert.equal(status, 1);
    assert.match(error, /no pinned Node came for .*20\.19\.0/);
  });
});

describe('bin/turtles', () => {
  before(makeCopy);
  after(() => rmSync(copy, { recursive: true }));

  const ECHO = 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;';
  const place = (folder: string, name: string, text: string): void => {
    mkdirSync(join(copy, folder), { recursive: true });
    writeFileSync(join(copy, folder, name), text);
  };

  it('says when the copy has nothing to run', () => {
    const { status, error } = run('bin/turtles');
    assert.equal(status, 1);
    assert.match(error, /^turtles: .*neither src.*\n$/);
  });

  it('runs the compiled command line of an installed package', () => {
    place('dist/cli', 'turtles.js', ECHO);
    assert.deepEqual(run('bin/turtles', ['run', '--bare']), { status: 7, output: '["run","--bare"]\n', error: '' });
    assert.deepEqual(run('bin/turtles-qemu', ['-m', '64']), { status: 7, output: '["qemu","-m","64"]\n', error: '' });
    const old = run('bin/turtles', [], pretendNode('22.12.0'));
    assert.equal(old.status, 1);
    assert.match(old.error, /^turtles: needs Node 24\.12 or newer to run; this is Node 22\.12\.0\n$/);
  });

  it('runs the sources of a clone, and installs first', () => {
    prepare('');
    place('src/cli', 'turtles.ts', `const status: string = ${JSON.stringify('ts')}; ${ECHO} void status;`);
    const first = run('bin/turtles', ['run']);
    assert.deepEqual({ status: first.status, output: first.output }, { status: 7, output: '["run"]\n' });
    assert.match(first.error, /installed/);
    assert.deepEqual(run('bin/turtles-qemu', ['-version']), { status: 7, output: '["qemu","-version"]\n', error: '' });
    const old = run('bin/turtles', [], pretendNode('18.0.0'));
    assert.match(
      old.error,
      /^turtles: needs Node 20\.0 or newer to install its dependencies; this is Node 18\.0\.0\n$/,
    );
  });

  it('gives the status of a child that a signal ended', () => {
    place('src/cli', 'turtles.ts', `process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 10_000);`);
    assert.equal(run('bin/turtles').status, 128 + 15);
  });
});
