// SPDX-License-Identifier: Apache-2.0
import { CYLINDER } from './disk.ts';

export interface BochsMachine {
  readonly disk: string;
  /** Of the disk, in bytes. */
  readonly size: number;
  /** In bytes. */
  readonly memory: number;
  /** Which serial port is connected to the TCP port on this computer; nothing hears the other one. */
  readonly serial: 1 | 2;
  readonly port: number;
  readonly log: string;
}

/**
 * bochsrc: the firmware that Debian's package depends on, 1 GHz, and nothing in virtual time waits for the wall clock.
 * Debian builds Bochs with its debugger, and this display is the one that needs no other program.
 */
export function bochsConfiguration({ disk, size, memory, serial, port, log }: BochsMachine): string {
  const mode = (number: 1 | 2) => (number === serial ? `socket-client, dev=127.0.0.1:${port}` : 'null');
  const megabytes = memory >> 20;
  return `${[
    'cpu: model=corei7_haswell_4770, count=1, ips=1000000000, reset_on_triple_fault=0',
    `memory: guest=${megabytes}, host=${megabytes}`,
    'romimage: file=/usr/share/seabios/bios.bin',
    'vgaromimage: file=/usr/share/seabios/vgabios-stdvga.bin',
    'pci: enabled=1, chipset=i440fx',
    `ata0-master: type=disk, path="${disk}", mode=flat, cylinders=${size / CYLINDER}, heads=16, spt=63`,
    'boot: disk',
    'clock: sync=none, time0=1767225600',
    'display_library: rfb, options="timeout=30"',
    `com1: enabled=1, mode=${mode(1)}`,
    `com2: enabled=1, mode=${mode(2)}`,
    'sound: driver=dummy',
    'speaker: enabled=0',
    `log: ${log}`,
    'panic: action=fatal',
    'error: action=ignore',
    'info: action=ignore',
    'debug: action=ignore',
  ].join('\n')}\n`;
}
