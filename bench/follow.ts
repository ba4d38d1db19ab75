// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';

/** USER_HZ, the same on every x86-64 Linux. */
const TICKS = 100;

/** What proc(5) says in smaps. */
export interface Residency {
  /** Bytes that are resident, */
  readonly all: number;
  /** and those of its largest mapping: of an emulator, the guest's memory with what lies beside it. */
  readonly largest: number;
}

export function residencyOf(pid: number): Residency {
  const smaps = readFileSync(`/proc/${pid}/smaps`, 'latin1');
  const sizes = [...smaps.matchAll(/^Rss:\s+(\d+) kB/gm)].map((found) => Number(found[1]) * 1024);
  return { all: sizes.reduce((sum, size) => sum + size, 0), largest: Math.max(0, ...sizes) };
}

/**
 * User and system time of a process that runs, of all its threads and of the children it waited for, in seconds, from
 * proc(5). The kernel shows hundredths.
 */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // utime, stime, cutime and cstime: the 14th to 17th field, and the first two are cut off.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks / TICKS;
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

/** What to do with a line of the console. True: enough has been seen, and the program is ended. */
export type OnLine = (text: string, pid: number) => boolean | void;

/**
 * Runs a program to its end and hands on each line of its console as it comes. Rejects when the program cannot be run,
 * fails, or `line` throws.
 */
export async function follow(started: Started, line: OnLine): Promise<void> {
  try {
    await toTheEnd(started, line);
  } finally {
    started.close?.();
  }
}

function toTheEnd({ command, output, status = 0 }: Started, line: OnLine): Promise<void> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = command;
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const tail = new Tail();
    let enough = false;
    const give = (text: string) => {
      if (enough || line(text, child.pid!) !== true) return;
      enough = true;
      child.kill('SIGKILL');
    };
    eachLine(output ?? child.stdout, give, (error) => {
      child.kill('SIGKILL');
      reject(error);
    });
    for (const stream of new Set([output ?? child.stdout, child.stdout, child.stderr]))
      stream.on('data', (chunk: Buffer) => tail.add(chunk));
    child.on('error', (error) => reject(new Error(`${program} could not be run: ${error.message}`)));
    child.on('close', (ended) => {
      if (enough || ended === status) resolve();
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
