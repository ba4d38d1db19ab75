// SPDX-License-Identifier: Apache-2.0
import { ON_ENTRY_FAILURE } from '../../system/entry-failures.ts';
import { UserError } from '../../base/errors.ts';
import { PAGING_MODES } from '../../system/hypervisor.ts';
import { parseCount, parseMemory } from '../../system/quantities.ts';
import { VERSION } from '../version.ts';
import { applyCpu } from './cpu.ts';
import { applyDevice, applyDrive } from './devices.ts';
import type { QemuSettings, SerialSetting } from './settings.ts';
import { parseNamed, parseSwitch, refuseUnknownKeys } from './values.ts';

export interface QemuOptionRow {
  readonly name: string;
  /** What follows it, for help; undefined when nothing does. */
  readonly argument?: string;
  readonly says: string;
  readonly apply: (settings: QemuSettings, value: string) => void;
}

const MEBIBYTE = 2 ** 20;
const MOST_PROCESSORS = 64;

/** An option that QEMU has and that changes nothing here: said once. */
const without =
  (name: string, why: string) =>
  (settings: QemuSettings, value: string): void =>
    void settings.notices.add(`-${name}${value === '' ? '' : ` ${value}`}: ${why}`);

/** An option whose only value asks for nothing. */
const onlyNone =
  (name: string, what: string, silent: readonly string[] = ['none']) =>
  (settings: QemuSettings, value: string): void => {
    if (!silent.includes(value)) settings.notices.add(`-${name} ${value}: there is no ${what}`);
  };

// In QEMU's words where it has them. Rows with `without` or `onlyNone` are accepted so that scripts run as they are.
// prettier-ignore
export const QEMU_OPTIONS: readonly QemuOptionRow[] = [
  { name: 'h',              says: 'display this help',                         apply: (settings) => { settings.print = helpText(); } },
  { name: 'help',           says: 'display this help',                         apply: (settings) => { settings.print = helpText(); } },
  { name: 'version',        says: 'display version information',               apply: (settings) => { settings.print = versionText(); } },
  { name: 'kernel',         argument: 'bzImage', says: 'use it as kernel image: Linux, multiboot 1 or 2, or ELF with a PVH note', apply: (settings, value) => { settings.kernel = value; } },
  { name: 'initrd',         argument: 'file',    says: 'initial ramdisk; for multiboot: modules "file args,file2"', apply: (settings, value) => { settings.initrd = value; } },
  { name: 'append',         argument: 'cmdline', says: 'kernel command line',  apply: (settings, value) => { settings.append = value; } },
  { name: 'm',              argument: '[size=]megs', says: 'memory: in MiB, or with K, M or G', apply: applyMemory },
  { name: 'smp',            argument: '[cpus=]n', says: 'number of processors', apply: applyProcessors },
  { name: 'cpu',            argument: 'cpu',     says: 'NAME,+x,-x: features, VMX among them (-cpu help)', apply: (settings, value) => applyCpu(value, settings) },
  { name: 'accel',          argument: '[accel=]accelerator', says: 'turtles[,l0=on|off][,paging=MODE][,profile=paper|modern]', apply: applyAccelerator },
  { name: 'serial',         argument: 'dev',     says: 'stdio, file:F, null or none; repeat it for COM2 to COM4', apply: (settings, value) => { settings.serial.push(serialOf(value)); } },
  { name: 'nographic',      says: 'the first serial port on the terminal',     apply: (settings) => { settings.nographic = true; } },
  { name: 'nodefaults',     says: 'no serial port that is not asked for',      apply: (settings) => { settings.defaults = false; } },
  { name: 'no-reboot',      says: 'exit instead of rebooting',                 apply: (settings) => { settings.reboot = false; } },
  { name: 'device',         argument: 'driver[,prop=value]', says: "add a device (-device '?')", apply: (settings, value) => applyDevice(value, settings) },
  { name: 'drive',          argument: 'file=F,format=raw,if=virtio', says: 'a disk; also if=none,id=ID with -device virtio-blk-pci,drive=ID', apply: (settings, value) => applyDrive(value, settings) },
  { name: 'machine',        argument: '[type=]name[,prop=value]', says: 'accepted: the machine is one PC, as q35', apply: applyMachine },
  { name: 'M',              argument: '[type=]name[,prop=value]', says: 'the same',  apply: applyMachine },
  { name: 'rtc',            argument: 'base=utc|date', says: 'the date at power-on; by default the same in every run', apply: applyClock },
  { name: 'on-entry-failure', argument: 'report|stop', says: 'when a VM entry fails, explain it and go on, or stop with status 68', apply: applyEntryFailure },
  { name: 'wedge-timeout',  argument: 'seconds', says: 'stop with status 66 when a level goes in circles with interrupts off for so long, in virtual time', apply: (settings, value) => { settings.wedgeSeconds = parseCount(value, '-wedge-timeout', 0, 1e6); } },
  { name: 'symbols',        argument: 'file',    says: "names of the guest's functions, for explanations: nm, System.map, /proc/kallsyms", apply: (settings, value) => { settings.symbols = value; } },
  { name: 'seed',           argument: 'number',  says: 'of everything random', apply: (settings, value) => { settings.seed = parseCount(value, '-seed', 0, 2 ** 32 - 1); } },
  { name: 'global',         argument: 'driver.prop=value', says: 'accepted',   apply: without('global', 'it changes nothing here') },
  { name: 'enable-kvm',     says: 'accepted',                                  apply: without('enable-kvm', 'the machine is software of its own') },
  { name: 'display',        argument: 'type',    says: 'accepted: there is no display', apply: onlyNone('display', 'display') },
  { name: 'vnc',            argument: 'display', says: 'accepted: there is no display', apply: onlyNone('vnc', 'display') },
  { name: 'vga',            argument: 'type',    says: 'accepted: there is no display', apply: onlyNone('vga', 'display') },
  { name: 'monitor',        argument: 'dev',     says: 'accepted: there is no monitor', apply: onlyNone('monitor', 'monitor', ['none', 'null']) },
  { name: 'parallel',       argument: 'dev',     says: 'accepted: there is no parallel port', apply: onlyNone('parallel', 'parallel port', ['none', 'null']) },
  { name: 'net',            argument: 'type',    says: 'accepted: there is no network', apply: onlyNone('net', 'network') },
  { name: 'nic',            argument: 'type',    says: 'accepted: there is no network', apply: onlyNone('nic', 'network') },
  { name: 'no-user-config', says: 'accepted',                                  apply: () => {} },
  { name: 'name',           argument: 'string',  says: 'accepted',             apply: () => {} },
  { name: 'no-hpet',        says: 'accepted: there is none',                   apply: () => {} },
  { name: 'boot',           argument: 'order',   says: 'accepted',             apply: without('boot', 'only kernels are booted') },
  { name: 'uuid',           argument: 'uuid',    says: 'accepted',             apply: without('uuid', 'it is shown nowhere') },
];

function applyMemory(settings: QemuSettings, value: string): void {
  const { values } = parseNamed(value, 'size');
  refuseUnknownKeys('-m', values, ['size', 'slots', 'maxmem']);
  settings.memoryBytes = parseMemory(values.get('size') ?? '', '-m', MEBIBYTE);
  if (values.has('slots') || values.has('maxmem')) settings.notices.add('-m: slots and maxmem change nothing here');
}

function applyProcessors(settings: QemuSettings, value: string): void {
  const { values } = parseNamed(value, 'cpus');
  refuseUnknownKeys('-smp', values, ['cpus', 'sockets', 'dies', 'clusters', 'cores', 'threads', 'maxcpus']);
  settings.processors = parseCount(values.get('cpus') ?? '', '-smp', 1, MOST_PROCESSORS);
  if (values.size > 1) settings.notices.add('-smp: every processor is a core of one socket');
}

function applyAccelerator(settings: QemuSettings, value: string): void {
  const { values } = parseNamed(value, 'accel');
  const name = values.get('accel');
  if (name !== 'turtles')
    return void settings.notices.add(`-accel ${name}: the machine is software of its own (turtles)`);
  refuseUnknownKeys('-accel turtles', values, ['accel', 'l0', 'paging', 'profile']);
  settings.l0 = parseSwitch('-accel turtles', 'l0', values.get('l0') ?? 'off');
  settings.paging = choice('paging', values.get('paging') ?? settings.paging, PAGING_MODES);
  const profile = values.get('profile');
  if (profile !== undefined) settings.profile = choice('profile', profile, ['paper', 'modern'] as const);
}

function applyEntryFailure(settings: QemuSettings, value: string): void {
  const found = ON_ENTRY_FAILURE.find((candidate) => candidate === value);
  if (found !== undefined) return void (settings.onEntryFailure = found);
  throw new UserError(
    `-on-entry-failure ${value}: there is no such choice`,
    `choose one of: ${ON_ENTRY_FAILURE.join(', ')}`,
  );
}

function choice<T extends string>(key: string, value: string, values: readonly T[]): T {
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new UserError(`-accel turtles: there is no ${key} '${value}'`, `choose one of: ${values.join(', ')}`);
}

function serialOf(value: string): SerialSetting {
  if (value === 'stdio') return { kind: 'stdio', signals: true };
  if (value === 'mon:stdio') return { kind: 'stdio', signals: false };
  if (value === 'none' || value === 'null') return { kind: value };
  if (value.startsWith('file:') && value.length > 5) return { kind: 'file', path: value.slice(5) };
  throw new UserError(
    `-serial ${value}: there is no such place for a serial port`,
    'give stdio, file:FILE, null or none',
  );
}

const MACHINES = /^(q35|pc|pc-q35-[\d.]+|pc-i440fx-[\d.]+)$/;

function applyMachine(settings: QemuSettings, value: string): void {
  const { name, values } = parseNamed(value);
  const type = values.get('type') ?? name;
  if (type === 'help' || type === '?')
    return void (settings.print =
      'Supported machines are:\nq35                  the PC (default)\npc                   the same\n');
  if (type !== '' && !MACHINES.test(type))
    throw new UserError(
      `-machine ${value}: unsupported machine type '${type}'`,
      'give q35, which is the one there is, or none',
    );
  for (const key of values.keys()) {
    if (key === 'accel') applyAccelerator(settings, values.get('accel')!);
    else if (key !== 'type') settings.notices.add(`-machine property ${key}: it changes nothing here`);
  }
}

function applyClock(settings: QemuSettings, value: string): void {
  const { values } = parseNamed(value);
  refuseUnknownKeys('-rtc', values, ['base', 'clock', 'driftfix']);
  const base = values.get('base') ?? 'utc';
  const date =
    base === 'utc' || base === 'localtime'
      ? 'now'
      : Date.parse(`${base.includes('T') ? base : `${base}T00:00:00`}Z`) / 1000;
  if (Number.isNaN(date))
    throw new UserError(
      `-rtc base=${base}: that is no date`,
      'write base=utc, base=2026-01-01 or base=2026-01-01T12:00:00',
    );
  settings.startTime = date;
}

/** The first words are those by which test suites know QEMU, and the version whose options these are. */
function versionText(): string {
  return `QEMU emulator version 7.2.0 (Turtles ${VERSION}: takes the options of QEMU 7.2, and is not QEMU)\n`;
}

function helpText(): string {
  const rows = QEMU_OPTIONS.map(
    ({ name, argument, says }) => `-${name}${argument === undefined ? '' : ` ${argument}`}`.padEnd(30) + ` ${says}\n`,
  );
  return `${versionText()}usage: turtles-qemu [options]\n\n${rows.join('')}\nAn option may begin with two dashes. The exit status of isa-debug-exit is (value << 1) | 1.\n`;
}
