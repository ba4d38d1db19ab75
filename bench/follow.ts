// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';

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

/** A program that can be run, and how it is listened to. */
export interface Started {
  readonly command: readonly string[];
  /** Its console, when that is not its standard output. */
  readonly output?: Readable;
  /** What it ends with when all is well; 0 without. */
  readonly status?: number;
  /** Called when it has ended. */
  readonly close?: () => void;
}

/**
 * Runs a program to its end and hands on each line of its console as it comes, with what the process has used by then.
 * Rejects when the program cannot be run, fails, or `line` throws.
 */
export async function follow(
  started: Started,
  line: (text: string, figures: () => ProcessFigures) => void,
): Promise<void> {
  try {
    await toTheEnd(started, line);
  } finally {
    started.close?.();
  }
}

function toTheEnd({ command, output, status = 0 }: Started, line: Parameters<typeof follow>[1]): Promise<void> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = command;
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const tail = new Tail();
    const give = (text: string) => line(text, () => figuresOf(child.pid!));
    eachLine(output ?? child.stdout, give, (error) => {
      child.kill('SIGKILL');
      reject(error);
    });
    for (const stream of new Set([output ?? child.stdout, child.stdout, child.stderr]))
      stream.on('data', (chunk: Buffer) => tail.add(chunk));
    child.on('error', (error) => reject(new Error(`${program} could not be run: ${error.message}`)));
    child.on('close', (ended) => {
      if (ended === status) resolve();
      else reject(new Error(`${program} ended with status ${ended}:\n${tail.text}`));
    });
  });
}

function eachLine(stream: Readable, give: (text: string) => void, failed: (error: Error) => void): void {
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    try {
      for (const text of lines) give(text);
    } catch (error) {
      failed(error as Error);
    }
  });
}

/** The last that a program said. */
class Tail {
  text = '';

  add(chunk: Buffer): void {
    this.text = (this.text + chunk.toString('latin1')).slice(-1500);
  }
}
