// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findKallsyms } from './kallsyms.ts';

const BASE = -0x7f000000;

/** Tables as scripts/kallsyms.c makes them: tokens 0 to 9 are themselves, two others stand for pieces of names. */
function tables(names: readonly (readonly [kind: string, name: string, offset: number])[], before: number): Uint8Array {
  const tokens = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i > 0x20 && i < 0x7f ? i : 0x21));
  tokens[1] = 'vmx_';
  tokens[2] = 'Tvmx';
  const encoded = names.map(([kind, name]) => {
    const text = `${kind}${name}`.replace('vmx_', '\u0001');
    const codes = Array.from(text, (character) => character.charCodeAt(0));
    return codes.length < 0x80 ? [codes.length, ...codes] : [(codes.length & 0x7f) | 0x80, codes.length >> 7, ...codes];
  });
  const markers = encoded.flatMap((_, i) => (i % 256 === 0 ? [encoded.slice(0, i).flat().length] : []));
  const bytes: number[] = Array.from({ length: before }, (_, i) => (i * 7) & 0xff);
  const pad = (): void => { while (bytes.length % 8 !== 0) bytes.push(0); }; // prettier-ignore
  const word = (value: number): unknown => bytes.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255); // prettier-ignore
  pad();
  names.forEach(([, , offset]) => word(offset));
  pad();
  word(BASE);
  word(-1);
  word(names.length);
  pad();
  bytes.push(...encoded.flat());
  pad();
  markers.forEach(word);
  pad();
  for (const token of tokens) bytes.push(...Array.from(token, (character) => character.charCodeAt(0)), 0);
  return Uint8Array.from([...bytes, ...Array.from({ length: 100 }, () => 0x30)]);
}

describe('kallsyms', () => {
  const long = `long_${'x'.repeat(150)}`;
  for (const count of [257, 512, 700]) {
    it(`${count} symbols are found, with relative, absolute and long names`, () => {
      const names = Array.from({ length: count }, (_, i): [string, string, number] =>
        i === 0 ? ['A', 'fixed_percpu_data', 0] : i === 1 ? ['t', long, -1] : ['T', `vmx_${i}`, -1 - 16 * i],
      );
      const found = findKallsyms(tables(names, 4321));
      assert.equal(found?.length, count);
      assert.deepEqual(found[0], { kind: 'A', name: 'fixed_percpu_data', address: 0 });
      assert.deepEqual(found[1], { kind: 't', name: long, address: BASE });
      assert.deepEqual(found[2], { kind: 'T', name: 'vmx_2', address: BASE + 32 });
    });
  }
  it('other bytes have none, nor have cut or damaged tables', () => {
    assert.equal(findKallsyms(new Uint8Array(100_000)), undefined);
    assert.equal(findKallsyms(Uint8Array.from({ length: 5000 }, (_, i) => (i * 31) & 0xff)), undefined);
    const names = Array.from({ length: 300 }, (_, i): [string, string, number] => ['T', `vmx_${i}`, -1 - i]);
    const good = tables(names, 0);
    assert.equal(findKallsyms(good)?.length, 300);
    assert.equal(findKallsyms(good.subarray(2000)), undefined);
    good[1216] = 99;
    assert.equal(findKallsyms(good), undefined);
  });
});
