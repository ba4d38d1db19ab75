// SPDX-License-Identifier: Apache-2.0
// `--jobs N`: the same run in N processes, each of which takes every Nth program.
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a process tells at its end. */
export interface JobResult {
  readonly programs: number;
  readonly steps: number;
  readonly findings: number;
}

/** Runs `script` with `args` and `--job I` for each I; their lines come out with the job's number before them. 1 when any found something. */
export async function runJobs(script: string, args: readonly string[], jobs: number): Promise<number> {
  const sum = { programs: 0, steps: 0, findings: 0 };
  const codes = await Promise.all(Array.from({ length: jobs }, (_, job) => runJob(script, args, job, sum)));
  console.log(`\nin all: ${sum.programs} programs, ${sum.steps} steps, ${sum.findings} findings`);
  return Math.max(...codes);
}

async function runJob(
  script: string,
  args: readonly string[],
  job: number,
  sum: { -readonly [Name in keyof JobResult]: number },
): Promise<number> {
  const child = fork(script, [...args, '--job', `${job}`], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  if (child.stdout) createInterface(child.stdout).on('line', (line) => console.log(`${job}: ${line}`));
  child.on('message', (message) => {
    const { programs, steps, findings } = message as JobResult;
    sum.programs += programs;
    sum.steps += steps;
    sum.findings += findings;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    // A job that a signal ended has no exit status: that is no clean run either.
    child.on('close', (code) => resolve(code ?? 1));
  });
}
