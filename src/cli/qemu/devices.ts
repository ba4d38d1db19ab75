// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { QemuSettings } from './settings.ts';
import { parseNamed, parseNumber, parseSwitch, refuseUnknownKeys } from './values.ts';

interface DeviceRow {
  readonly name: string;
  readonly bus: 'ISA' | 'PCI';
  readonly says: string;
  readonly properties: readonly string[];
  readonly apply: (settings: QemuSettings, values: ReadonlyMap<string, string>) => void;
}

// prettier-ignore
const DEVICES: readonly DeviceRow[] = [
  { name: 'isa-debug-exit',  bus: 'ISA', says: 'a port that ends the run',          properties: ['iobase', 'iosize'], apply: (settings, values) => {
    settings.debugExit = {
      port: parseNumber('-device isa-debug-exit', 'iobase', values.get('iobase') ?? '0x501', 0xffff),
      size: parseNumber('-device isa-debug-exit', 'iosize', values.get('iosize') ?? '2', 4),
    };
  } },
  { name: 'pc-testdev',      bus: 'ISA', says: "of kvm-unit-tests",                 properties: [],                   apply: (settings) => { settings.pcTestDevice = true; } },
  { name: 'pci-testdev',     bus: 'PCI', says: 'PCI Test Device',                   properties: [],                   apply: (settings) => { settings.pciTestDevice = true; } },
  { name: 'virtio-rng-pci',  bus: 'PCI', says: 'random bytes from the seed',        properties: [],                   apply: (settings) => { settings.entropy = true; } },
  { name: 'virtio-blk-pci',  bus: 'PCI', says: 'the disk of a -drive with if=none', properties: ['drive'],            apply: (settings, values) => { settings.driveDevices.push(values.get('drive') ?? ''); } },
];

/** `-device NAME,property=value`, and `-device ?` for the list, in QEMU's words. */
export function applyDevice(text: string, settings: QemuSettings): void {
  const { name, values } = parseNamed(text);
  if (name === '?' || name === 'help') return void (settings.print = deviceList());
  const device = DEVICES.find((row) => row.name === name);
  if (device === undefined)
    throw new UserError(
      `-device ${text}: '${name}' is not a valid device model name`,
      "-device '?' lists what there is",
    );
  if (values.has('help') || values.has('?'))
    return void (settings.print = `${name} options:\n${device.properties.map((key) => `  ${key}=<value>\n`).join('')}`);
  refuseUnknownKeys(`-device ${name}`, new Map([...values].filter(([key]) => key !== 'id')), device.properties);
  device.apply(settings, values);
}

function deviceList(): string {
  return DEVICES.map(({ name, bus, says }) => `name "${name}", bus ${bus}, desc "${says}"\n`).join('');
}

/** Properties of -drive about the host's caches: a file here is read and written as the guest asks. */
const WITHOUT_EFFECT = ['cache', 'aio', 'discard', 'detect-zeroes', 'werror', 'rerror', 'media', 'index', 'snapshot'];
const DRIVE = ['file', 'format', 'if', 'id', 'readonly', ...WITHOUT_EFFECT];

/** `-drive file=F,format=raw,if=virtio`. */
export function applyDrive(text: string, settings: QemuSettings): void {
  const { values } = parseNamed(text, 'file');
  refuseUnknownKeys('-drive', values, DRIVE);
  const file = values.get('file');
  const format = values.get('format') ?? 'raw';
  const way = values.get('if') ?? 'ide';
  if (file === undefined) throw new UserError('-drive needs a file', 'write -drive file=FILE,format=raw,if=virtio');
  if (format !== 'raw')
    throw new UserError(
      `-drive: Unknown driver '${format}': only raw images can be used`,
      `convert it: qemu-img convert -O raw ${file} disk.raw`,
    );
  if (way !== 'virtio' && way !== 'none')
    throw new UserError(`-drive: there is no disk controller for if=${way}`, 'attach it with if=virtio');
  if (values.get('snapshot') === 'on')
    throw new UserError('-drive: snapshot=on is not available', 'copy the image, or give readonly=on');
  for (const key of WITHOUT_EFFECT)
    if (values.has(key)) settings.notices.add(`-drive property ${key}: it changes nothing here`);
  settings.drives.push({
    file,
    interface: way,
    id: values.get('id'),
    readOnly: parseSwitch('-drive', 'readonly', values.get('readonly') ?? 'off'),
  });
}
