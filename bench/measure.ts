// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';

export interface Measurement {
  /** User and system time of the process and all it waited for, in seconds. */
  readonly cpu: number;
  readonly wall: number;
  readonly output: string;
}

/** bash's keyword, which asks getrusage(2) for its children: threads are in, on any system with bash. */
const TIMED = 'TIMEFORMAT="turtles-bench %R %U %S"; time "$@"';
const TIMES = /^turtles-bench ([\d.]+) ([\d.]+) ([\d.]+)$/m;

/** Runs a program to its end and measures it. Rejects when it fails. */
export function measure(program: string, args: readonly string[]): Promise<Measurement> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', TIMED, 'bash', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('latin1')));
    child.on('error', reject);
    child.on('close', (status) => {
      const times = TIMES.exec(errors);
      if (status !== 0 || times === null) {
        return reject(new Error(`${program} ended with status ${status}: ${(errors + output).slice(-500)}`));
      }
      const [wall, user, system] = times.slice(1).map(Number) as [number, number, number];
      resolve({ cpu: user + system, wall, output });
    });
  });
}
