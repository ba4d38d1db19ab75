// SPDX-License-Identifier: Apache-2.0

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { InternalError } from '../../../src/base/assert.ts';
import { GdbClient } from './gdb-client.ts';

export const ENTRY = 0x7c00;
const BIOS_BYTES = 0x10000;
const ATTEMPTS = 200;

/** Why QEMU cannot run here, or undefined if it can. */
export function whyNoQemu(): string | undefined {
  return spawnSync('qemu-system-x86_64', ['--version']).status === 0
    ? undefined
    : 'qemu-system-x86_64 is not installed';
}

export function whyNoAssembler(): string | undefined {
  return spawnSync('nasm', ['-v']).status === 0 ? undefined : 'nasm is not installed';
}

/** A flat binary from nasm source. */
export function assembleImage(source: string): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), 'turtles-nasm-'));
  const output = join(directory, 'image.bin');
  try {
    const run = spawnSync('nasm', ['-f', 'bin', '-I', `${dirname(source)}/`, '-o', output, source]);
    if (run.status !== 0) throw new InternalError(`nasm: ${run.stderr.toString()}`);
    return new Uint8Array(readFileSync(output));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A ROM whose only instruction is a far jump from the reset vector to the image. */
function jumpingBios(): Uint8Array {
  const bios = new Uint8Array(BIOS_BYTES);
  bios.set([0xea, ENTRY & 0xff, ENTRY >> 8, 0, 0], BIOS_BYTES - 16);
  return bios;
}

/** QEMU under TCG with an image at 7C00h, stopped there in real mode and driven through its gdb stub. */
export class Qemu {
  readonly gdb: GdbClient;
  readonly #process: ChildProcess;
  readonly #socket: Socket;
  readonly #directory: string;

  private constructor(gdb: GdbClient, process: ChildProcess, socket: Socket, directory: string) {
    this.gdb = gdb;
    this.#process = process;
    this.#socket = socket;
    this.#directory = directory;
  }

  static async start(image: Uint8Array, cpu = 'qemu64'): Promise<Qemu> {
    const directory = mkdtempSync(join(tmpdir(), 'turtles-qemu-'));
    writeFileSync(join(directory, 'bios.bin'), jumpingBios());
    writeFileSync(join(directory, 'image.bin'), image);
    // prettier-ignore
    const child = spawn('qemu-system-x86_64', [
      '-accel', 'tcg,thread=single', '-M', 'pc', '-cpu', cpu, '-m', '16', '-nodefaults', '-display', 'none', '-S',
      '-bios', 'bios.bin', '-device', `loader,file=image.bin,addr=${ENTRY},force-raw=on`, '-gdb', 'unix:gdb.sock,server=on,wait=off',
    ], { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
    let complaint = '';
    child.stderr?.on('data', (text: Uint8Array) => (complaint += Buffer.from(text).toString()));
    try {
      const socket = await connectWhenReady(join(directory, 'gdb.sock'), child);
      const gdb = new GdbClient(socket);
      await gdb.start();
      await gdb.runTo(BigInt(ENTRY));
      return new Qemu(gdb, child, socket, directory);
    } catch (error) {
      child.kill();
      rmSync(directory, { recursive: true, force: true });
      throw new InternalError(`qemu did not start: ${String(error)} ${complaint}`);
    }
  }

  stop(): void {
    this.#socket.destroy();
    this.#process.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function connectWhenReady(path: string, child: ChildProcess): Promise<Socket> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (child.exitCode !== null) throw new InternalError(`qemu ended with ${child.exitCode}`);
    const socket = connect(path);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    await delay(20);
  }
  throw new InternalError('qemu opened no gdb socket');
}
