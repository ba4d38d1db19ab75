// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { elfSymbols } from '../formats/elf-symbols.ts';
import { LevelSymbols, symbolsOfKernel, symbolsOfList } from './level-symbols.ts';
import { SymbolTable } from './symbols.ts';

/** A 64-bit ELF file with .symtab and .strtab only. */
function elf(symbols: readonly (readonly [name: string, value: bigint, size: number, info: number])[]): Uint8Array {
  const strings = `\0${symbols.map(([name]) => `${name}\0`).join('')}.symtab\0.strtab\0`;
  const [strtabAt, symtabAt] = [64, 64 + Math.ceil(strings.length / 8) * 8];
  const headersAt = symtabAt + 24 * (symbols.length + 1);
  const bytes = new Uint8Array(headersAt + 3 * 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(40, BigInt(headersAt), true);
  [64, 56, 0, 64, 3, 1].forEach((value, i) => view.setUint16(52 + 2 * i, value, true));
  bytes.set(Buffer.from(strings, 'latin1'), strtabAt);
  symbols.forEach(([name, value, size, info], i) => {
    const at = symtabAt + 24 * (i + 1);
    view.setUint32(at, strings.indexOf(`\0${name}\0`) + 1, true);
    bytes.set([info, 0, 1, 0], at + 4);
    view.setBigUint64(at + 8, value, true);
    view.setBigUint64(at + 16, BigInt(size), true);
  });
  const section = (index: number, name: string, type: number, at: number, size: number, link: number): void => {
    const header = headersAt + 64 * index;
    view.setUint32(header, strings.indexOf(name), true);
    view.setUint32(header + 4, type, true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(size), true);
    view.setUint32(header + 40, link, true);
  };
  section(1, '.strtab', 3, strtabAt, strings.length, 0);
  section(2, '.symtab', 2, symtabAt, 24 * (symbols.length + 1), 1);
  return bytes;
}

describe('symbols', () => {
  it('the one that an address lies in, with its offset and module', () => {
    const table = new SymbolTable([
      { name: 'second', address: -0x1000, size: 0x20 },
      { name: 'first', address: -0x2000 },
      { name: 'reset', address: -0x500, size: 0x400, module: 'kvm_intel' },
    ]);
    assert.equal(table.name(-0x2001), undefined);
    assert.equal(table.name(-0x2000), 'first');
    assert.equal(table.name(-0x1001), 'first+0xfff');
    assert.equal(table.name(-0x1000 + 0x1f), 'second+0x1f');
    assert.equal(table.name(-0x1000 + 0x20), undefined);
    assert.equal(table.name(-0x500 + 0x93), 'reset+0x93 [kvm_intel]');
    assert.equal(new SymbolTable([]).name(0), undefined);
  });
  it("an ELF kernel's own, a list, and neither", () => {
    const kernel = elf([
      ['main', 0x401000n, 16, 0x12],
      ['data', 0x402000n, 8, 0x11],
      ['high', 0xffffffff81000000n, 32, 2],
    ]);
    assert.equal(elfSymbols(kernel, 'k').length, 4);
    const table = symbolsOfKernel(kernel, 'k')!;
    assert.equal(table.name(0x401003), 'main+0x3');
    assert.equal(table.name(0x402000), undefined, 'data is no function');
    assert.equal(table.name(-0x7f000000 + 1), 'high+0x1');
    assert.equal(symbolsOfKernel(elf([]), 'k'), undefined);
    assert.equal(symbolsOfKernel(new Uint8Array(100), 'k'), undefined);
    assert.deepEqual(elfSymbols(kernel.subarray(0, kernel.length - 100), 'k'), [], 'cut behind its segments');
    const list = symbolsOfList(Buffer.from('ffffffffc0a41230 t vmx_vcpu_reset\t[kvm_intel]\n'), 'list');
    assert.equal(new LevelSymbols(list).name(-0x3f5bedd0 + 4, { read: () => {} }, 0), 'vmx_vcpu_reset+0x4 [kvm_intel]');
  });
  it('a memory without Linux has none, and is not searched for ever', () => {
    let reads = 0;
    const memory = { read: (_address: number, bytes: Uint8Array) => (reads++, void bytes.fill(0)) };
    const symbols = new LevelSymbols(undefined);
    for (let i = 0; i < 5; i++) assert.equal(symbols.name(-0x7f000000, memory, 0x1000), undefined);
    const after = reads;
    symbols.name(-0x7f000000, memory, 0x1000);
    assert.equal(reads, after);
  });
});
