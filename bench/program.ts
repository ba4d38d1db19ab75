// SPDX-License-Identifier: Apache-2.0
// guests/bench as a program: one static binary without a library, for guests and for the computer itself.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../guests/bench/', import.meta.url));

// prettier-ignore
const FLAGS = [
  '-O2', '-march=x86-64', '-mtune=generic', '-std=gnu11', '-Wall', '-Wextra', '-Werror',
  '-ffreestanding', '-nostdlib', '-static', '-no-pie', '-fno-pic',
  '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-fno-tree-loop-distribute-patterns',
  '-Wl,--build-id=none', '-Wl,-z,noexecstack',
];

/** Compiles the program to `file`. Throws when there is no compiler. */
export function compileProgram(file: string): void {
  const sources = readdirSync(SOURCES)
    .filter((name) => name.endsWith('.c'))
    .sort()
    .map((name) => join(SOURCES, name));
  const done = spawnSync('gcc', [...FLAGS, '-o', file, ...sources], { encoding: 'utf8' });
  if (done.error !== undefined)
    throw new Error('the guest programs in guests/bench are compiled by gcc, and there is none: apt install gcc');
  if (done.status !== 0) throw new Error(`gcc did not compile guests/bench:\n${done.stderr}`);
}
