// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LOADER = fileURLToPath(new URL('loader.S', import.meta.url));
const SECTOR = 512;
/** Where the 16-bit part of the kernel, its command line and the rest of the kernel go. */
const SETUP = 0x90000;
const COMMAND_LINE = 0x9f000;
const KERNEL = 0x100000;
/** Left free above the initramfs: the firmware keeps its tables there. */
const FIRMWARE_BYTES = 16 << 20;
/** A cylinder of the geometry that the configuration states: 16 heads of 63 sectors. */
export const CYLINDER = 16 * 63 * SECTOR;

interface Piece {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface DiskContents {
  /** bzImage. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
  /** Of the machine, in bytes. */
  readonly memory: number;
}

/** Writes a disk that boots a kernel: loader.S, its list of pieces, the pieces. Returns the disk's size in bytes. */
export function writeDisk(file: string, contents: DiskContents): number {
  const pieces = piecesOf(contents);
  const list = Buffer.alloc(SECTOR);
  const parts: Uint8Array[] = [assembled(`${file}.loader`), list];
  let sector = 2;
  for (const [index, { address, bytes }] of pieces.entries()) {
    const sectors = Math.ceil(bytes.length / SECTOR);
    for (const [at, value] of [sector, sectors, address].entries()) list.writeUInt32LE(value, index * 12 + at * 4);
    parts.push(bytes, Buffer.alloc(sectors * SECTOR - bytes.length));
    sector += sectors;
  }
  const size = Math.ceil((sector * SECTOR) / CYLINDER) * CYLINDER;
  writeFileSync(file, Buffer.concat([...parts, Buffer.alloc(size - sector * SECTOR)]));
  return size;
}

/** Fields of the setup header: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". */
function piecesOf({ kernel, initrd, commandLine, memory }: DiskContents): Piece[] {
  const bytes = Buffer.from(kernel);
  const setupBytes = ((bytes[0x1f1]! || 4) + 1) * SECTOR;
  const ramdisk = (memory - FIRMWARE_BYTES - initrd.length) & ~0xfff;
  bytes[0x210] = 0xff; // type_of_loader: none that is registered
  bytes[0x211]! |= 0x80; // loadflags: CAN_USE_HEAP
  bytes.writeUInt16LE(0xde00, 0x224); // heap_end_ptr
  bytes.writeUInt32LE(ramdisk, 0x218);
  bytes.writeUInt32LE(initrd.length, 0x21c);
  bytes.writeUInt32LE(COMMAND_LINE, 0x228);
  return [
    { address: SETUP, bytes: bytes.subarray(0, setupBytes) },
    { address: COMMAND_LINE, bytes: Buffer.from(`${commandLine}\0`, 'latin1') },
    { address: KERNEL, bytes: bytes.subarray(setupBytes) },
    { address: ramdisk, bytes: initrd },
  ];
}

function assembled(file: string): Uint8Array {
  const flags = [
    '-m32',
    '-nostdlib',
    '-ffreestanding',
    '-no-pie',
    '-Wl,-Ttext=0x7c00,-e,start,--oformat=binary,--build-id=none',
  ];
  const done = spawnSync('gcc', [...flags, '-o', file, LOADER], { encoding: 'utf8' });
  if (done.error !== undefined)
    throw new Error('the loader for Bochs is assembled by gcc, and there is none: apt install gcc');
  if (done.status !== 0) throw new Error(`gcc did not assemble ${LOADER}:\n${done.stderr}`);
  const bytes = readFileSync(file).subarray(0, SECTOR);
  rmSync(file);
  return bytes;
}
