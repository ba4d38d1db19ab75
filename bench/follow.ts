// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What Linux counts for a process, all its threads and the children it waited for. */
export interface ProcessFigures {
  /** User and system time in seconds; the kernel shows hundredths. */
  readonly cpu: number;
  /** The most memory that was resident, in bytes. */
  readonly peak: number;
}

/** USER_HZ, the same on every x86-64 Linux. */
const TICKS = 100;

/** Of a process that runs, from proc(5). */
export function figuresOf(pid: number): ProcessFigures {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // utime, stime, cutime and cstime: the 14th to 17th field, and the first two are cut off.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return { cpu: ticks / TICKS, peak: Number(peak?.[1] ?? 0) * 1024 };
}

/**
 * Runs a program to its end and hands on each line of its standard output as it comes, with what the process has used
 * by then. Rejects when the program cannot be run, fails, or `line` throws.
 */
export function follow(
  [program, ...args]: readonly string[],
  line: (text: string, figures: () => ProcessFigures) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const tail = new Tail();
    let rest = '';
    child.stdout.on('data', (chunk: Buffer) => {
      tail.add(chunk);
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop()!;
      try {
        for (const text of lines) line(text, () => figuresOf(child.pid!));
      } catch (error) {
        child.kill('SIGKILL');
        reject(error as Error);
      }
    });
    child.stderr.on('data', (chunk: Buffer) => tail.add(chunk));
    child.on('error', (error) => reject(new Error(`${program} could not be run: ${error.message}`)));
    child.on('close', (status) => {
      if (status === 0) resolve();
      else reject(new Error(`${program} ended with status ${status}:\n${tail.text}`));
    });
  });
}

/** The last that a program said. */
class Tail {
  text = '';

  add(chunk: Buffer): void {
    this.text = (this.text + chunk.toString('latin1')).slice(-1500);
  }
}
