// SPDX-License-Identifier: Apache-2.0

// Installs the lockfile into node_modules, unless that is what node_modules holds already. Runs before `npm start` and
// `npm test`, under whatever Node the machine has (20 or newer), and so uses nothing but its built-ins.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import toolchain from './toolchain.cjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// What npm says, and what it means. The first row that matches is told.
// prettier-ignore
const CAUSES = [
  [/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT/, 'the package registry cannot be reached; check the network or npm\'s proxy and registry settings'],
  [/CERT|UNABLE_TO_(GET|VERIFY)/,        'the package registry\'s certificate is not trusted; check npm\'s cafile setting'],
  [/E401|E403/,                          'the package registry refuses access; check npm\'s settings'],
  [/E404|ETARGET/,                       'the package registry does not have a version that the lockfile names; use another registry'],
  [/ENOSPC/,                             'the disk is full; dependencies take about 300 MB'],
  [/EACCES|EPERM|EROFS/,                 'this folder cannot be written; clone it as the user who runs it'],
  [/EINTEGRITY/,                         'a package differs from the lockfile\'s checksum; run `npm cache clean --force` or use another registry'],
  [/EUSAGE/,                             'package-lock.json does not match package.json; run `npm install` and commit both'],
];

function say(line) {
  process.stderr.write(`turtles: ${line}\n`);
}

function fail(line, status = 1) {
  say(line);
  process.exit(status);
}

/** npm as its own `npm run` was started, else the one on PATH. Returns [program, ...arguments]. */
function npm() {
  const { npm_execpath: script, npm_node_execpath: node } = process.env;
  if (script?.endsWith('js')) return [node ?? process.execPath, script];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}

/** Runs npm; resolves to its exit status, the signal that ended it, and what it wrote. */
function runNpm(args) {
  const [program, ...before] = npm();
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...before, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: program.endsWith('.cmd'),
    });
    let text = '';
    let stopped = null;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill((stopped = signal)));
    child.on('error', reject);
    // npm catches signals and exits by itself: what we were sent counts.
    child.on('close', (status, signal) => resolve({ status, signal: stopped ?? signal, text }));
  });
}

/** npm's own words where we have no better ones: the first line that is not a code or a path. */
function explain(text) {
  const cause = CAUSES.find(([pattern]) => pattern.test(text));
  if (cause) return cause[1];
  const lines = text.split('\n').map((line) => line.replace(/^npm error\s*/, '').trim());
  return lines.find((line) => line !== '' && !/^(code|path|errno|syscall) /.test(line)) ?? 'npm gave no reason';
}

async function install() {
  const began = Date.now();
  say('installing the dependencies that package-lock.json names (about 300 MB, once) ...');
  // --ignore-scripts: no package runs code at installation; the pinned Node comes as a plain file in a package.
  const done = await runNpm(['ci', '--include=dev', '--include=optional', '--ignore-scripts', '--loglevel=error']);
  if (done.signal) fail(`installation stopped by ${done.signal}`, 128 + constants.signals[done.signal]);
  if (done.status !== 0) fail(`npm ci failed: ${explain(done.text)}`);
  if (toolchain.nodeForSources(root) === null)
    fail(
      `no pinned Node came for ${process.platform}-${process.arch}, and Node ${process.versions.node} is older than 24.12: install a newer one`,
    );
  writeFileSync(toolchain.stampFile(root), toolchain.stamp(root));
  say(`installed in ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`needs Node 20 or newer to install; this is Node ${process.versions.node}`);
if (!toolchain.isInstalled(root)) {
  try {
    await install();
  } catch (error) {
    fail(
      error.code === 'ENOENT'
        ? 'npm is not on the PATH; install it (Debian: apt install npm)'
        : `installation failed: ${error.message}`,
    );
  }
}
