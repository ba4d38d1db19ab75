// SPDX-License-Identifier: Apache-2.0
// What the contenders boot: Debian's kernel, and an initramfs with the program of guests/bench as its first process.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeCpio } from '../src/formats/cpio.ts';
import type { CpioEntry } from '../src/formats/cpio.ts';
import { prepareGuest } from '../src/images/prepare.ts';
import { hypervisorGuest, innerGuest, plainGuest } from '../src/images/recipes.ts';
import { nodeImageHost } from '../src/platform/node/image-host.ts';
import { compileProgram } from './program.ts';
import { NOTHING } from './rows.ts';

/** Files, and what the kernel's command line begins with. */
export interface Image {
  readonly kernel: string;
  /** The program alone. */
  readonly initrd: string;
  /** L1 with KVM, QEMU and the program; in it an L2 with the program. */
  readonly hypervisorInitrd: string | undefined;
  /** The same, and no rows in L2. */
  readonly hypervisorBootInitrd: string | undefined;
  /** Of a machine, and of L1. */
  readonly commandLine: string;
  /** The program on the computer itself. */
  readonly program: string;
}

/** `rows` are run by the first process; `then` is what it becomes afterwards, instead of powering off. */
export function rowsWords(rows: readonly string[], then?: string): string {
  return `rdinit=/bench -- ${rows.join(' ')}${then === undefined ? '' : ` then ${then}`}`;
}

/** Writes the files into `folder`. `innerRows` are those of L2; without, L1 and L2 are not made. */
export async function makeImage(folder: string, innerRows?: readonly string[]): Promise<Image> {
  const host = nodeImageHost();
  const { kernel, commandLine } = await prepareGuest(plainGuest(), host);
  const program = join(folder, 'bench');
  compileProgram(program);
  const entries = programEntries(readFileSync(program));
  const hypervisor = innerRows && (await prepareGuest(hypervisorGuest(), host)).initrd;
  const file = (name: string, bytes: Uint8Array) => write(join(folder, name), bytes);
  const withInner = (name: string, rows: readonly string[]) =>
    hypervisor && file(name, hypervisorInitrd(hypervisor, entries, rows));
  return {
    kernel: file('kernel', kernel),
    initrd: file('initrd', writeCpio(entries)),
    hypervisorInitrd: withInner('hypervisor-initrd', innerRows ?? []),
    hypervisorBootInitrd: withInner('hypervisor-boot-initrd', [NOTHING]),
    commandLine,
    program,
  };
}

/** L1's image; what comes second takes the place of what it names again. */
function hypervisorInitrd(image: Uint8Array, entries: readonly CpioEntry[], rows: readonly string[]): Uint8Array {
  return Buffer.concat([image, writeCpio([...entries, ...innerFiles(writeCpio(entries), rows)])]);
}

function write(file: string, bytes: Uint8Array): string {
  writeFileSync(file, bytes);
  return file;
}

const directory = (path: string): CpioEntry => ({ kind: 'directory', path, mode: 0o755 });
const device = (path: string, major: number, minor: number): CpioEntry => ({
  kind: 'device',
  path,
  mode: 0o666,
  major,
  minor,
});

function programEntries(program: Uint8Array): CpioEntry[] {
  return [
    directory('dev'),
    device('dev/console', 5, 1),
    device('dev/zero', 1, 5),
    { kind: 'file', path: 'bench', mode: 0o755, bytes: program },
  ];
}

function innerFiles(initrd: Uint8Array, rows: readonly string[]): CpioEntry[] {
  const words = innerGuest().commandLine.map(({ word }) => word);
  const text = `${words.join(' ')} ${rowsWords(rows)}\n`;
  return [
    { kind: 'file', path: 'guest/initrd', mode: 0o644, bytes: initrd },
    { kind: 'file', path: 'guest/command-line', mode: 0o644, bytes: new TextEncoder().encode(text) },
  ];
}

/** `image FOLDER`: for runs by hand. */
export async function imageBench(args: readonly string[]): Promise<void> {
  const [folder] = args;
  if (folder === undefined || args.length > 1) throw new Error('image: name one folder');
  mkdirSync(folder, { recursive: true });
  const { kernel, initrd, commandLine, program } = await makeImage(folder);
  console.log(`turtles run linux --bare --batch --kernel ${kernel} --initrd ${initrd} \\`);
  console.log(`  --append "${commandLine} quiet ${rowsWords(['integer', 'getpid'])}"`);
  console.log(`${program} integer getpid`);
}
