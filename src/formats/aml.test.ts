// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressWindow,
  buffer,
  device,
  eisaId,
  fixedMemory,
  integer,
  ioPorts,
  isaInterrupt,
  list,
  method,
  name,
  namePath,
  packageLength,
  resourceTemplate,
  returns,
  scope,
  text,
} from './aml.ts';
import { hexBytes } from '../base/hex.ts';

/** Expected bytes from the encoding rules of ACPI chapter 20, in hexadecimal. */
// prettier-ignore
const ROWS: readonly [what: string, aml: readonly number[], bytes: string][] = [
  ['zero',            integer(0),                     '00'],
  ['one',             integer(1),                     '01'],
  ['byte',            integer(0xfe),                  '0a fe'],
  ['word',            integer(0x1234),                '0b 34 12'],
  ['dword',           integer(0xb0000000),            '0c 00 00 00 b0'],
  ['qword',           integer(0x1_0000_0001),         '0e 01 00 00 00 01 00 00 00'],
  ['text',            text('AB'),                     '0d 41 42 00'],
  ['EISAID PNP0A08',  eisaId('PNP0A08'),              '0c 41 d0 0a 08'],
  ['EISAID PNP0501',  eisaId('PNP0501'),              '0c 41 d0 05 01'],
  ['short name',      namePath('A'),                  '41 5f 5f 5f'],
  ['root',            namePath('\\'),                 '5c 00'],
  ['two segments',    namePath('\\_SB.PCI0'),         '5c 2e 5f 53 42 5f 50 43 49 30'],
  ['three segments',  namePath('^A.B.C'),             '5e 2f 03 41 5f 5f 5f 42 5f 5f 5f 43 5f 5f 5f'],
  ['name',            name('_UID', integer(1)),       '08 5f 55 49 44 01'],
  ['package',         list(integer(5), integer(0)),   '12 05 02 0a 05 00'],
  ['buffer',          buffer([1, 2]),                 '11 05 0a 02 01 02'],
  ['device',          device('COM1'),                 '5b 82 05 43 4f 4d 31'],
  ['scope',           scope('\\_SB'),                 '10 06 5c 5f 53 42 5f'],
  ['method',          method('_STA', 0, returns(integer(15))), '14 09 5f 53 54 41 00 a4 0a 0f'],
  ['I/O',             ioPorts(0x3f8, 8),              '47 01 f8 03 f8 03 01 08'],
  ['IRQ 4',           isaInterrupt(4),                '22 10 00'],
  ['fixed memory',    fixedMemory(0xb0000000, 0x1000), '86 09 00 01 00 00 00 b0 00 10 00 00'],
  ['bus window',      addressWindow({ kind: 'bus', base: 0, size: 256 }), '88 0d 00 02 0c 00 00 00 00 00 ff 00 00 00 00 01'],
  ['template',        resourceTemplate(isaInterrupt(8)), '11 08 0a 05 22 00 01 79 00'],
];

for (const [what, aml, bytes] of ROWS) {
  test(`AML of ${what}`, () => assert.equal(hexBytes(aml), bytes));
}

test('package lengths count themselves, whatever their width', () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 2 ** 27 })), (after) => {
      const encoded = packageLength(after);
      const extra = encoded[0]! >> 6;
      assert.equal(encoded.length, extra + 1);
      const low = extra === 0 ? encoded[0]! & 0x3f : encoded[0]! & 0x0f;
      const total = encoded.slice(1).reduce((sum, byte, index) => sum + byte * 2 ** (4 + 8 * index), low);
      assert.equal(total, after + encoded.length);
      if (extra > 0) assert.equal(encoded[0]! & 0x30, 0);
    }),
  );
});

test('a memory window takes the narrowest descriptor', () => {
  assert.equal(addressWindow({ kind: 'memory', base: 0xc0000000, size: 0x40000000 })[0], 0x87);
  assert.equal(addressWindow({ kind: 'memory', base: 2 ** 35, size: 2 ** 30, prefetchable: true })[0], 0x8a);
  assert.throws(() => addressWindow({ kind: 'io', base: 0xff00, size: 0x200 }), /io window/);
});

test('what AML cannot say is a bug of ours', () => {
  assert.throws(() => namePath('abcd'), /AML name segment/);
  assert.throws(() => namePath('TOOLONG'), /AML name segment/);
  assert.throws(() => eisaId('QEMU0002'), /EISA identifier/);
  assert.throws(() => integer(-1), /AML integer/);
});
