// SPDX-License-Identifier: Apache-2.0
// Power-on to userspace: Debian's kernel with the plain guest's initramfs, whose first process powers off at once.
// The same two files and the same command line for every contender, one after the other in each round.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepareGuest } from '../src/images/prepare.ts';
import { plainGuest } from '../src/images/recipes.ts';
import { nodeImageHost } from '../src/platform/node/image-host.ts';
import { measure } from './measure.ts';
import type { Measurement } from './measure.ts';
import { median } from './statistics.ts';

const MEMORY = '256M';
/** What follows `--` are the first process's arguments. */
const POWER_OFF = 'rdinit=/bin/busybox -- poweroff -f';
/** In the kernel's words, on the console: userspace was reached, and ended it. */
const REACHED = /Run \/bin\/busybox as init process[^]*reboot: Power down/;

interface Guest {
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

interface Contender {
  readonly name: string;
  readonly command: (guest: Guest) => readonly string[];
}

const TURTLES = fileURLToPath(new URL('../src/cli/turtles.ts', import.meta.url));

// prettier-ignore
const OURS: Contender = {
  name: 'turtles --bare',
  command: ({ kernel, initrd, commandLine }) => [process.execPath, TURTLES, 'run', 'linux', '--bare', '--batch', '--memory', MEMORY, '--kernel', kernel, '--initrd', initrd, '--append', commandLine],
};
// prettier-ignore
const OTHERS: Readonly<Record<string, Contender>> = {
  qemu: {
    name: 'qemu-system-x86_64 -accel tcg',
    command: ({ kernel, initrd, commandLine }) => ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg', '-m', MEMORY, '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', kernel, '-initrd', initrd, '-append', commandLine],
  },
};

/** `boot [--against qemu] [--rounds N]` */
export async function bootBench(args: readonly string[]): Promise<void> {
  const { contenders, rounds } = parse(args);
  const folder = mkdtempSync(join(tmpdir(), 'turtles-bench-'));
  try {
    const guest = await files(folder);
    const measurements = new Map<Contender, Measurement[]>(contenders.map((contender) => [contender, []]));
    for (let round = 1; round <= rounds; round++) {
      for (const contender of contenders) {
        const measured = await boot(contender, guest);
        measurements.get(contender)!.push(measured);
        console.log(
          `round ${round}: ${contender.name}: ${measured.cpu.toFixed(2)} CPU s, ${measured.wall.toFixed(2)} s`,
        );
      }
    }
    report(measurements);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function parse(args: readonly string[]): { contenders: Contender[]; rounds: number } {
  const contenders = [OURS];
  let rounds = 5;
  for (let at = 0; at < args.length; at += 2) {
    const [option, value = ''] = args.slice(at, at + 2);
    const other = OTHERS[value];
    if (option === '--against' && other !== undefined) contenders.push(other);
    else if (option === '--rounds' && Number(value) >= 1) rounds = Math.floor(Number(value));
    else
      throw new Error(
        `boot: ${option} ${value} is no option; there are --against ${Object.keys(OTHERS).join(', ')} and --rounds N`,
      );
  }
  return { contenders, rounds };
}

async function files(folder: string): Promise<Guest> {
  const { kernel, initrd, commandLine } = await prepareGuest(plainGuest(), nodeImageHost());
  const guest = {
    kernel: join(folder, 'kernel'),
    initrd: join(folder, 'initrd'),
    commandLine: `${commandLine} ${POWER_OFF}`,
  };
  writeFileSync(guest.kernel, kernel);
  writeFileSync(guest.initrd, initrd);
  return guest;
}

async function boot(contender: Contender, guest: Guest): Promise<Measurement> {
  const [program, ...args] = contender.command(guest);
  const measured = await measure(program!, args);
  if (!REACHED.test(measured.output))
    throw new Error(`${contender.name} did not reach userspace: ${measured.output.slice(-500)}`);
  return measured;
}

/** Both ratios: a machine that changes its speed between rounds moves the one of medians, and hardly that within rounds. */
function report(measurements: ReadonlyMap<Contender, readonly Measurement[]>): void {
  console.log('\nmedians');
  const all = [...measurements].map(([{ name }, rounds]) => ({ name, cpu: rounds.map(({ cpu }) => cpu), rounds }));
  for (const { name, cpu, rounds } of all) {
    const wall = median(rounds.map((round) => round.wall));
    console.log(`${name.padEnd(34)} ${median(cpu).toFixed(2).padStart(8)} CPU s ${wall.toFixed(2).padStart(8)} s`);
  }
  const [ours, ...others] = all;
  for (const { name, cpu } of others) {
    const within = ours!.cpu.map((seconds, round) => seconds / cpu[round]!);
    console.log(
      `${ours!.name} / ${name}, CPU seconds: ${(median(ours!.cpu) / median(cpu)).toFixed(2)} of the medians, ` +
        `${median(within).toFixed(2)} the median within rounds (${Math.min(...within).toFixed(2)} to ${Math.max(...within).toFixed(2)})`,
    );
  }
}
