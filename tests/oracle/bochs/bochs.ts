// SPDX-License-Identifier: Apache-2.0
// Debian's Bochs with an image of ours in place of its firmware, driven by the commands of its debugger.
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InternalError } from '../../../src/base/assert.ts';
import { attach } from '../../../bench/bochs/attach.ts';
import { whyNoAssembler } from '../qemu/qemu.ts';

const ROM = join(import.meta.dirname, 'rom.asm');
/** Bytes that the ROM has room for: of an image entered in real mode, of a multiboot image. */
const MOST_BYTES = { real: 0xf000, multiboot: 0x3f000 } as const;
const MEGABYTES = 64;

export interface BochsRun {
  readonly image: Uint8Array;
  /** Where a multiboot image begins; without it the image is entered in real mode at 7C00h. */
  readonly entry?: number;
  /** The linear address at which it is stopped. */
  readonly stopAt: number;
  /** What is read then: linear addresses and lengths. */
  readonly read: readonly { readonly address: number; readonly bytes: number }[];
  readonly seconds: number;
  /** One of `bochs --help cpu`; default: one with VMX. */
  readonly model?: string;
}

/** Why Bochs cannot run here, or undefined. */
export function whyNoBochs(): string | undefined {
  return spawnSync('bochs', ['--help']).error === undefined ? whyNoAssembler() : 'bochs is not installed';
}

/** Neither firmware, disk, network nor clock of the computer; an unknown MSR is #GP. */
function configuration(model: string, rom: string, log: string): string {
  return `${[
    `cpu: model=${model}, count=1, ips=1000000000, reset_on_triple_fault=0, ignore_bad_msrs=0`,
    `memory: guest=${MEGABYTES}, host=${MEGABYTES}`,
    `romimage: file=${rom}`,
    'vgaromimage: file=/usr/share/seabios/vgabios-stdvga.bin',
    'pci: enabled=1, chipset=i440fx',
    'boot: disk',
    'clock: sync=none, time0=1767225600',
    'display_library: rfb, options="timeout=30"',
    'sound: driver=dummy',
    'speaker: enabled=0',
    `log: ${log}`,
    'panic: action=fatal',
    'error: action=ignore',
    'info: action=ignore',
    'debug: action=ignore',
  ].join('\n')}\n`;
}

function buildRom(folder: string, { image, entry }: BochsRun): string {
  if (image.length > MOST_BYTES[entry === undefined ? 'real' : 'multiboot'])
    throw new InternalError(`an image of ${image.length} bytes`);
  const [file, rom] = [join(folder, 'image'), join(folder, 'rom')];
  writeFileSync(file, image);
  const defines = [`-dIMAGE="${file}"`, ...(entry === undefined ? [] : [`-dENTRY=${entry}`])];
  execFileSync('nasm', ['-f', 'bin', ...defines, '-o', rom, ROM]);
  return rom;
}

/** Runs an image until it is stopped, and gives what was asked for. Throws when it does not come to that. */
export async function runInBochs(run: BochsRun): Promise<Buffer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'turtles-bochs-'));
  const { close } = await attach();
  try {
    const [config, commands, log] = ['bochsrc', 'commands', 'log'].map((name) => join(folder, name)) as [string, string, string]; // prettier-ignore
    writeFileSync(config, configuration(run.model ?? 'corei7_haswell_4770', buildRom(folder, run), log));
    const files = run.read.map((_, n) => join(folder, `read${n}`));
    const reads = run.read.map(({ address, bytes }, n) => `writemem "${files[n]}" ${address} ${bytes}`);
    writeFileSync(commands, [`lb ${run.stopAt}`, 'c', ...reads, 'q', ''].join('\n'));
    // Its debugger ends with status 1 by any way.
    const ended = await promisify(execFile)('bochs', ['-q', '-f', config, '-rc', commands], {
      timeout: run.seconds * 1000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 24,
    }).catch((error: Error & { stdout: string; stderr: string }) => error);
    try {
      return files.map((file) => readFileSync(file));
    } catch {
      const said = /exiting with the following message:\n(.*)/.exec(readFileSync(log, 'latin1') + ended.stderr)?.[1];
      throw new InternalError(`Bochs did not come to ${run.stopAt.toString(16)}: ${said} ${ended.stdout.slice(-500)}`);
    }
  } finally {
    close();
    rmSync(folder, { recursive: true, force: true });
  }
}
