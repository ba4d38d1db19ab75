// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Started } from '../follow.ts';
import { attach } from './attach.ts';
import { bochsConfiguration } from './configuration.ts';
import { writeDisk } from './disk.ts';

export interface BochsGuest {
  /** Files. */
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
  /** In bytes. */
  readonly memory: number;
  /** The serial port that is listened to. */
  readonly serial: 1 | 2;
}

/** To power off is a panic of its ACPI device, and this status. */
const POWERED_OFF = 1;

/** Bochs emulates a serial port's speed, and its guests wait for it: they are to ask for the highest. */
const fastConsole = (commandLine: string): string => commandLine.replace('console=ttyS0 ', 'console=ttyS0,115200 ');

/** Everything that Bochs needs to boot a kernel of our choice, in a folder of its own until it has ended. */
export async function startBochs(guest: BochsGuest): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'turtles-bochs-'));
  const [disk, configuration, debuggerCommands] = ['disk', 'bochsrc', 'commands'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const { memory, serial } = guest;
  const size = writeDisk(disk, {
    kernel: readFileSync(guest.kernel),
    initrd: readFileSync(guest.initrd),
    commandLine: fastConsole(guest.commandLine),
    memory,
  });
  const { port, output, close } = await attach();
  writeFileSync(configuration, bochsConfiguration({ disk, size, memory, serial, port, log: join(folder, 'log') }));
  writeFileSync(debuggerCommands, 'continue\nquit\n');
  return {
    command: ['bochs', '-q', '-f', configuration, '-rc', debuggerCommands],
    output,
    status: POWERED_OFF,
    close: () => {
      close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
