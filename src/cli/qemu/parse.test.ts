// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UserError } from '../../base/errors.ts';
import { QEMU_OPTIONS } from './options.ts';
import { parseQemuArguments } from './parse.ts';
import { serialSettings } from './serial.ts';
import { defaultSettings } from './settings.ts';
import type { QemuSettings } from './settings.ts';
import { splitAtCommas } from './values.ts';

const MIB = 2 ** 20;
const parse = (line: string): QemuSettings => parseQemuArguments(line === '' ? [] : line.split(' '));

/** What differs from the defaults. */
function changes(line: string): Partial<QemuSettings> {
  const [settings, defaults] = [parse(line), defaultSettings()];
  const entries = Object.entries(settings).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(defaults[key as keyof QemuSettings]),
  );
  return Object.fromEntries(entries) as Partial<QemuSettings>;
}

// prettier-ignore
const EFFECTS: readonly [line: string, changes: Partial<QemuSettings>][] = [
  ['',                                            {}],
  ['-kernel k -initrd i -append a',               { kernel: 'k', initrd: 'i', append: 'a' }],
  ['--kernel k --no-reboot',                      { kernel: 'k', reboot: false }],
  ['-m 512',                                      { memoryBytes: 512 * MIB }],
  ['-m 2G',                                       { memoryBytes: 2048 * MIB }],
  ['-m size=256M,slots=2,maxmem=1G',              { memoryBytes: 256 * MIB }],
  ['-smp 4',                                      { processors: 4 }],
  ['-smp cpus=2,sockets=1',                       { processors: 2 }],
  ['-cpu max,+vmx',                               { cpuModel: 'max', vmx: true }],
  ['-cpu qemu64,+x2apic,+tsc-deadline',           { cpuModel: 'qemu64', vmx: false, cpuFeatures: ['+x2apic', '+tsc-deadline'] }],
  ['-cpu qemu64,-pcid,invpcid=on,+vmx',           { cpuModel: 'qemu64', vmx: true, cpuFeatures: ['-pcid', 'invpcid=on'] }],
  ['-cpu host,migratable=no,-vmx',                { cpuModel: 'host', vmx: false }],
  ['-cpu paper',                                  { cpuModel: 'paper', vmx: true, profile: 'paper' }],
  ['-cpu IvyBridge,phys-bits=36,+vmx',            { cpuModel: 'IvyBridge', vmx: true }],
  ['-serial stdio -serial file:F -serial none',   { serial: [{ kind: 'stdio', signals: true }, { kind: 'file', path: 'F' }, { kind: 'none' }] }],
  ['-nographic -nodefaults',                      { nographic: true, defaults: false }],
  ['-device isa-debug-exit,iobase=0xf4,iosize=0x4', { debugExit: { port: 0xf4, size: 4 } }],
  ['-device isa-debug-exit',                      { debugExit: { port: 0x501, size: 2 } }],
  ['-device pc-testdev -device pci-testdev,id=t', { pcTestDevice: true, pciTestDevice: true }],
  ['-device virtio-rng-pci -seed 0x7',            { entropy: true, seed: 7 }],
  ['-drive file=a,,b,format=raw,if=virtio',       { drives: [{ file: 'a,b', interface: 'virtio', id: undefined, readOnly: false }] }],
  ['-drive file=d,if=none,id=x,readonly=on -device virtio-blk-pci,drive=x', { drives: [{ file: 'd', interface: 'none', id: 'x', readOnly: true }], driveDevices: ['x'] }],
  ['-machine q35 -M pc -display none -vnc none -monitor none -parallel none -net none', {}],
  ['-accel turtles,l0=on,paging=shadow-on-ept,profile=paper', { l0: true, paging: 'shadow-on-ept', profile: 'paper' }],
  ['-machine accel=turtles',                      {}],
  ['-rtc base=2020-02-03T04:05:06',               { startTime: Date.UTC(2020, 1, 3, 4, 5, 6) / 1000 }],
  ['-rtc base=utc',                               { startTime: 'now' }],
];

// prettier-ignore
const NOTICES: readonly [line: string, notices: readonly RegExp[]][] = [
  ['-global kvm-pit.lost_tick_policy=discard -global kvm-pit.lost_tick_policy=discard', [/^-global kvm-pit/]],
  ['-enable-kvm -machine accel=tcg',              [/^-enable-kvm:/, /^-accel tcg:/]],
  ['-machine q35,kernel_irqchip=split',           [/kernel_irqchip/]],
  ['-display gtk',                                [/^-display gtk: there is no display/]],
  ['-cpu max,vendor=GenuineIntel',                [/vendor/]],
  ['-cpu Haswell',                                [/^-cpu Haswell:/]],
  ['-smp 2,cores=2',                              [/^-smp:/]],
  ['-nodefaults -display none -no-user-config -cpu max,+vmx', []],
];

// prettier-ignore
const REFUSED: readonly [line: string, message: RegExp][] = [
  ['-nosuch',                          /^-nosuch: invalid option$/],
  ['disk.img',                         /disk image/],
  ['-m',                               /^-m: requires an argument$/],
  ['-m 12foo',                         /no size/],
  ['-m 1',                             /too little memory/],
  ['-smp 0',                           /-smp 0/],
  ['-smp 2,legs=4',                    /no property 'legs'/],
  ['-cpu Zilog',                       /unable to find CPU model 'Zilog'/],
  ['-cpu max,x2apic=perhaps',          /'x2apic' is on or off/],
  ['-device nosuch',                   /'nosuch' is not a valid device model name/],
  ['-device isa-debug-exit,base=1',    /no property 'base'/],
  ['-device isa-debug-exit,iobase=x',  /'iobase' is a number/],
  ['-drive if=virtio',                 /needs a file/],
  ['-drive file=d,format=qcow2,if=virtio', /Unknown driver 'qcow2'/],
  ['-drive file=d',                    /if=ide/],
  ['-serial tcp::4444',                /no such place/],
  ['-machine isapc',                   /unsupported machine type 'isapc'/],
  ['-accel turtles,speed=high',        /no property 'speed'/],
  ['-accel turtles,paging=none',       /no paging 'none'/],
  ['-rtc base=someday',                /no date/],
];

describe("QEMU's options", () => {
  for (const [line, expected] of EFFECTS)
    it(`${line || 'none'}: has its effect`, () => assert.deepEqual(changes(line), expected));

  for (const [line, expected] of NOTICES) {
    it(`${line}: says what has no effect, once`, () => {
      const notices = [...parse(line).notices];
      assert.equal(notices.length, expected.length, notices.join('\n'));
      expected.forEach((pattern, index) => assert.match(notices[index]!, pattern));
    });
  }

  for (const [line, message] of REFUSED) {
    it(`${line}: is refused`, () => {
      assert.throws(
        () => parse(line),
        (error: unknown) => error instanceof UserError && message.test(error.message) && error.hint !== '',
      );
    });
  }

  it('name every option once, and help lists it', () => {
    const names = QEMU_OPTIONS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    const help = parse('--help').print ?? '';
    for (const name of names) assert.ok(help.includes(`\n-${name} `) || help.includes(`\n-${name}\n`), name);
  });

  it('say what kvm-unit-tests looks for', () => {
    assert.match(parse('--help').print ?? '', /QEMU/);
    // Its first words are cut at blanks and dots: the fourth to sixth are the version.
    assert.match(parse('-h').print?.split('\n')[0] ?? '', /^\w+ \w+ \w+ 7\.2\.0 /);
    const devices = parse('-device ?').print ?? '';
    for (const name of ['"pc-testdev"', '"pci-testdev"', '"isa-debug-exit"']) assert.ok(devices.includes(name), name);
  });
});

describe('serial ports', () => {
  const kinds = (line: string) => serialSettings(parse(line)).map(({ kind }) => kind);
  it('are those asked for, else COM1: on the terminal with -nographic, nowhere without, and none with -nodefaults', () => {
    assert.deepEqual(kinds('-serial null -serial stdio'), ['null', 'stdio']);
    assert.deepEqual(kinds('-nographic -nodefaults'), ['stdio']);
    assert.deepEqual(kinds(''), ['null']);
    assert.deepEqual(kinds('-nodefaults'), []);
    assert.deepEqual(kinds('-serial stdio -serial none'), ['stdio']);
    assert.deepEqual(kinds('-serial none -serial stdio'), ['none', 'stdio']);
  });
  it('are four at most, and one on stdio', () => {
    assert.throws(() => kinds(Array(5).fill('-serial null').join(' ')), UserError);
    assert.throws(() => kinds('-serial stdio -serial mon:stdio'), UserError);
  });
});

it('a doubled comma is one that belongs to the value', () => {
  assert.deepEqual(splitAtCommas('a b,,c,d'), ['a b,c', 'd']);
  assert.deepEqual(splitAtCommas(''), ['']);
  assert.deepEqual(splitAtCommas('a,'), ['a', '']);
});
