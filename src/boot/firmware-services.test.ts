// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { memoryMap, packRegions } from './e820.ts';
import { biosListing, biosRom, interruptVectors } from './firmware-services.ts';
import { pcLayout } from './layout.ts';
import { assemble, code, jump, label, lineLength } from './real-mode-code.ts';

const map = memoryMap(pcLayout({ memoryBytes: 512 * 2 ** 20 }));

/** An independent disassembler's text of exactly these bytes. */
function disassemble(bytes: Uint8Array, at: number): string {
  const decoder = new Decoder(16, bytes, DecoderOptions.None);
  decoder.ip = BigInt(at);
  const instruction = decoder.decode();
  assert.equal(instruction.length, bytes.length, bytes.join());
  const formatter = new Formatter(FormatterSyntax.Nasm);
  const text = formatter.format(instruction);
  instruction.free();
  formatter.free();
  decoder.free();
  return text;
}

test('every line of the listing disassembles to its text, every jump to its label', () => {
  const origin = 0x1000;
  const listing = biosListing(map);
  const { bytes, labels } = assemble(listing, origin);
  let at = origin;
  for (const line of listing) {
    const text =
      lineLength(line) === 0 ? '' : disassemble(bytes.slice(at - origin, at - origin + lineLength(line)), at);
    if ('bytes' in line) assert.equal(text.replace(/\bstrict |\bbyte (?=\d)/g, ''), line.text);
    if ('jump' in line) {
      const target = labels.get(line.to)!.toString(16).toUpperCase();
      assert.match(text, new RegExp(`^${line.jump.split(' ')[0]} (short |near )?0*${target}h$`));
    }
    at += lineLength(line);
  }
  assert.ok(bytes.length > 200);
});

test('the ROM holds the map, the handlers and the reset vector', () => {
  const { write, labels } = biosRom(map);
  const rom = write.bytes;
  assert.equal(write.address + rom.length, 0x100000);
  assert.deepEqual(rom.slice(0, map.length * 20), packRegions(map));
  const reset = labels.get('reset')!;
  assert.equal(disassemble(rom.slice(0xfff0, 0xfff5), 0xfff0), `jmp 0F000h:${reset.toString(16).toUpperCase()}h`);
  assert.equal(rom[reset], 0xba);
});

test('vectors lead to their handlers, the others to a return', () => {
  const rom = biosRom(map);
  const vectors = new DataView(interruptVectors(rom).bytes.buffer);
  const handler = (vector: number): number => vectors.getUint16(vector * 4, true);
  // prettier-ignore
  const rows: [number, string][] = [
    [0x08, 'timer tick'], [0x0f, 'interrupt of the first 8259'], [0x77, 'interrupt of the second 8259'], [0x10, 'video'],
    [0x12, 'memory size'], [0x13, 'disk'], [0x15, 'system'], [0x16, 'keyboard'], [0x1a, 'time'], [0x00, 'return'], [0xff, 'return'],
  ];
  for (const [vector, name] of rows) {
    assert.equal(handler(vector), rom.labels.get(name), name);
    assert.equal(vectors.getUint16(vector * 4 + 2, true), 0xf000);
  }
  assert.equal(rom.write.bytes[handler(0)], 0xcf);
});

test('sizes that INT 15h reports follow the memory', () => {
  const texts = (mebibytes: number): string[] =>
    biosListing(memoryMap(pcLayout({ memoryBytes: mebibytes * 2 ** 20 }))).map((line) =>
      'text' in line ? line.text : '',
    );
  assert.ok(
    texts(512).includes('mov bx,1F00h') && texts(512).includes('mov ax,3C00h') && texts(512).includes('mov ax,0FC00h'),
  );
  assert.ok(texts(8).includes('mov ax,1C00h') && texts(8).includes('mov bx,0'));
});

test('a jump that does not reach, and an unknown label, are bugs of ours', () => {
  const far = Array.from({ length: 130 }, () => code('nop', 0x90));
  assert.throws(() => assemble([label('a'), ...far, jump('jmp', 'a')], 0), /132 bytes away|-132/);
  assert.throws(() => assemble([jump('jmp', 'b')], 0), /no label b/);
});
