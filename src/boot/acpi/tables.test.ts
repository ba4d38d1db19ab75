// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readText } from '../../formats/ascii.ts';
import { pcLayout, type PcLayout } from '../layout.ts';
import { memoryOf } from '../plan-memory.ts';
import { acpiTables } from './tables.ts';

const layout = pcLayout({ processors: [0, 1, 300] });

/** Follows RSDP and XSDT as an operating system does; checks every checksum on the way. */
function tablesOf(pc: PcLayout): Map<string, Uint8Array> {
  const { rsdp, writes } = acpiTables(pc);
  const memory = memoryOf(writes);
  const summed = (bytes: Uint8Array, what: string): Uint8Array => {
    assert.equal(bytes.reduce((sum, byte) => sum + byte, 0) & 0xff, 0, `checksum of ${what}`);
    return bytes;
  };
  const table = (address: number): Uint8Array =>
    summed(memory.bytes(address, memory.u32(address + 4)), readText(memory.bytes(address, 4), 0, 4));
  const root = summed(memory.bytes(rsdp, 36), 'RSDP');
  summed(root.subarray(0, 20), 'RSDP of ACPI 1.0');
  assert.equal(readText(root, 0, 8), 'RSD PTR ');
  const [rsdt, xsdt] = [table(memory.u32(rsdp + 16)), table(Number(memory.u64(rsdp + 24)))];
  const addresses = Array.from({ length: (xsdt.length - 36) / 8 }, (_, index) => u32(xsdt, 36 + index * 8));
  assert.deepEqual(
    addresses,
    Array.from({ length: (rsdt.length - 36) / 4 }, (_, index) => u32(rsdt, 36 + index * 4)),
  );
  const found = new Map(addresses.map((address) => [readText(memory.bytes(address, 4), 0), table(address)]));
  const fadt = found.get('FACP')!;
  found.set('DSDT', table(u32(fadt, 40)));
  found.set('FACS', memory.bytes(u32(fadt, 36), 64));
  return found;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u16 = (bytes: Uint8Array, at: number): number => viewOf(bytes).getUint16(at, true);
const u32 = (bytes: Uint8Array, at: number): number => viewOf(bytes).getUint32(at, true);
const tables = tablesOf(layout);

describe('fixed tables', () => {
  test('the FADT has the machine, at the offsets of ACPI 6', () => {
    const fadt = tables.get('FACP')!;
    assert.equal(fadt.length, 276);
    assert.equal(fadt[8], 6);
    assert.equal(u16(fadt, 46), 9, 'SCI');
    assert.equal(u32(fadt, 48), 0, 'no SMI command: always ACPI mode');
    assert.deepEqual(
      [56, 64, 76, 80].map((at) => u32(fadt, at)),
      [0x600, 0x604, 0x608, 0x610],
    );
    assert.deepEqual([...fadt.subarray(88, 94)], [4, 2, 0, 4, 4, 0]);
    assert.equal(fadt[108], 0x32, 'century');
    assert.equal(u16(fadt, 109), 0b101, 'legacy devices, no 8042, no VGA, CMOS clock present');
    assert.equal(u32(fadt, 112), 0x565);
    assert.deepEqual(
      [...fadt.subarray(116, 129)],
      [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6],
      'reset register and value',
    );
    assert.deepEqual(
      [148, 172, 208, 220].map((at) => [fadt[at], fadt[at + 1], u32(fadt, at + 4)]),
      [
        [1, 32, 0x600],
        [1, 16, 0x604],
        [1, 32, 0x608],
        [1, 32, 0x610],
      ],
    );
    assert.equal(u32(fadt, 140), u32(fadt, 40), 'both DSDT pointers agree');
  });

  test('a timer of 24 bits says so', () => {
    const fadt = tablesOf(pcLayout({ power: { ...layout.power, pmTimerBits: 24 } })).get('FACP')!;
    assert.equal(u32(fadt, 112) & 0x100, 0);
  });

  test('the FACS lies on a 64-byte boundary', () => {
    assert.equal(readText(tables.get('FACS')!, 0), 'FACS@');
    assert.equal(u32(tables.get('FACP')!, 36) % 64, 0);
  });

  test('the MADT lists processors, I/O APIC, overrides and NMI', () => {
    const madt = tables.get('APIC')!;
    assert.deepEqual([u32(madt, 36), u32(madt, 40)], [0xfee00000, 1]);
    const entries: string[] = [];
    for (let at = 44; at < madt.length; at += madt[at + 1]!) {
      entries.push(Buffer.from(madt.subarray(at, at + madt[at + 1]!)).toString('hex'));
    }
    assert.deepEqual(entries, [
      '0008000001000000',
      '0008010101000000',
      '091000002c0100000100000002000000',
      '010c00000000c0fe00000000',
      '020a0000020000000000',
      '020a0009090000000d00',
      '0406ff000001',
    ]);
  });

  test('MCFG has the ECAM', () => {
    const mcfg = tables.get('MCFG')!;
    assert.deepEqual([u32(mcfg, 44), u32(mcfg, 48), mcfg[54], mcfg[55]], [0xb0000000, 0, 0, 255]);
  });
});

/** One named object of the DSDT: its path and the bytes of its value. */
interface AmlObject {
  readonly path: string;
  readonly value: Uint8Array;
}

/** A second, independent reading of the AML subset that the DSDT uses; fails on anything else or if a length is off. */
function amlObjects(aml: Uint8Array, scopePath = ''): AmlObject[] {
  const objects: AmlObject[] = [];
  let at = 0;
  while (at < aml.length) {
    const opcode = aml[at] === 0x5b ? 0x5b00 | aml[++at]! : aml[at]!;
    at++;
    if (opcode === 0x10 || opcode === 0x5b82) {
      const [bodyAt, end] = packageRange(aml, at);
      const [path, next] = readPath(aml, bodyAt);
      objects.push(...amlObjects(aml.subarray(next, end), `${scopePath}${path}.`));
      at = end;
    } else {
      assert.equal(opcode, 0x08, `AML opcode at ${at}`);
      const [path, valueAt] = readPath(aml, at);
      at = valueEnd(aml, valueAt);
      objects.push({ path: `${scopePath}${path}`, value: aml.subarray(valueAt, at) });
    }
  }
  assert.equal(at, aml.length);
  return objects;
}

function packageRange(aml: Uint8Array, at: number): [bodyAt: number, end: number] {
  const extra = aml[at]! >> 6;
  let length = extra === 0 ? aml[at]! : aml[at]! & 15;
  for (let index = 1; index <= extra; index++) length += aml[at + index]! << (8 * index - 4);
  assert.ok(at + length <= aml.length);
  return [at + 1 + extra, at + length];
}

function readPath(aml: Uint8Array, at: number): [string, number] {
  const root = aml[at] === 0x5c ? '\\' : '';
  const start = at + root.length;
  const count = aml[start] === 0x2e ? 2 : 1;
  const first = count === 2 ? start + 1 : start;
  const segments = Array.from({ length: count }, (_, index) =>
    readText(aml, first + index * 4, 4).replace(/(?<=.)_+$/, ''),
  );
  return [root + segments.join('.'), first + count * 4];
}

function valueEnd(aml: Uint8Array, at: number): number {
  const fixed = new Map([
    [0, 1],
    [1, 1],
    [0x0a, 2],
    [0x0b, 3],
    [0x0c, 5],
    [0x0e, 9],
  ]).get(aml[at]!);
  if (fixed !== undefined) return at + fixed;
  if (aml[at] === 0x0d) return aml.indexOf(0, at) + 1;
  assert.ok(aml[at] === 0x11 || aml[at] === 0x12, `AML value ${aml[at]}`);
  return packageRange(aml, at + 1)[1];
}

describe('the DSDT', () => {
  const pc = pcLayout({
    isaDevices: [
      ...layout.isaDevices,
      { name: 'FWCF', hardwareId: 'QEMU0002', uniqueId: 0, ports: [{ base: 0x510, count: 12 }] },
    ],
    pciWindows: [...layout.pciWindows, { kind: 'memory', base: 2 ** 35, size: 2 ** 35, prefetchable: true }],
  });
  const dsdt = tablesOf(pc).get('DSDT')!;
  const objects = new Map(amlObjects(dsdt.subarray(36)).map(({ path, value }) => [path, value]));
  const hexOf = (path: string): string => Buffer.from(objects.get(path)!).toString('hex');

  test('has the host bridge, the devices and soft-off', () => {
    assert.deepEqual(
      [...new Set([...objects.keys()].map((path) => path.split('.').slice(0, -1).join('.')))],
      ['\\_SB.PCI0', '\\_SB.MBRD', '\\_SB.COM1', '\\_SB.COM2', '\\_SB.RTC', '\\_SB.FWCF', ''],
    );
    assert.equal(hexOf('\\_SB.PCI0._HID'), '0c41d00a08');
    assert.equal(hexOf('\\_SB.PCI0._CID'), '0c41d00a03');
    assert.equal(hexOf('\\_SB.COM2._UID'), '0a02');
    assert.equal(readText(objects.get('\\_SB.FWCF._HID')!, 1), 'QEMU0002');
    assert.equal(hexOf('\\_S5'), '120804' + '0a050a050000');
  });

  test('routes the four pins of every slot, counting pins from 0', () => {
    const routes = objects.get('\\_SB.PCI0._PRT')!;
    const [bodyAt] = packageRange(routes, 1);
    assert.equal(routes[bodyAt], 128);
    const rows = Buffer.from(routes).toString('hex');
    assert.ok(rows.includes('0bffff' + '00' + '00' + '0a10'), 'slot 0 INTA#: 0xffff, pin 0, no link, GSI 16');
    assert.ok(rows.includes('0cffff0300' + '0a02' + '00' + '0a11'), 'slot 3 INTC#: GSI 17');
    assert.ok(rows.includes('0cffff1f00' + '0a03' + '00' + '0a12'), 'slot 31 INTD#: GSI 18');
  });

  test('the host bridge passes on the windows, the motherboard keeps the ECAM', () => {
    const windows = hexOf('\\_SB.PCI0._CRS');
    assert.ok(
      windows.includes('88' + '0d00' + '020c00' + '0000' + '0000' + 'ff00' + '0000' + '0001'),
      'buses 0 to 255',
    );
    assert.ok(
      windows.includes('87' + '1700' + '000c01' + '00000000' + '000000c0' + 'ffffbffe' + '00000000' + '0000c03e'),
      'C0000000h..FEBFFFFFh',
    );
    assert.ok(
      windows.includes(
        '8a' +
          '2b00' +
          '000c07' +
          '0000000000000000' +
          '0000000008000000' +
          'ffffffff0f000000' +
          '0000000000000000' +
          '0000000008000000',
      ),
    );
    assert.ok(hexOf('\\_SB.MBRD._CRS').includes('86' + '0900' + '01' + '000000b0' + '00000010'));
    assert.ok(hexOf('\\_SB.COM1._CRS').includes('4701f803f8030108' + '221000' + '7900'));
  });

  const iasl = spawnSync('iasl', ['-v']).status === 0;
  test('iasl reads and recompiles it without a remark', { skip: iasl ? false : 'iasl is not installed' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'turtles-acpi-'));
    try {
      for (const [signature, bytes] of tablesOf(pc)) {
        writeFileSync(join(folder, `${signature}.aml`), bytes);
        const run = (...args: string[]) => spawnSync('iasl', args, { cwd: folder, encoding: 'utf8' });
        const disassembled = run('-d', `${signature}.aml`);
        assert.equal(disassembled.status, 0, disassembled.stderr);
        assert.doesNotMatch(disassembled.stdout + disassembled.stderr, /error|warning|invalid/i, signature);
        const compiled = run('-p', `${signature}.new`, `${signature}.dsl`);
        assert.match(
          compiled.stdout,
          /Compilation successful. 0 Errors, 0 Warnings, 0 Remarks/,
          compiled.stdout + compiled.stderr,
        );
      }
      // iasl shortens absolute names; the values must be byte for byte what we wrote.
      const again = amlObjects(new Uint8Array(readFileSync(join(folder, 'DSDT.aml'))).subarray(36));
      assert.deepEqual(
        again.map(({ value }) => Buffer.from(value).toString('hex')),
        [...objects.keys()].map(hexOf),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
