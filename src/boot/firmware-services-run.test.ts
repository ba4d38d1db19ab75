// SPDX-License-Identifier: Apache-2.0
// Runs the BIOS listing line by line, by its text; firmware-services.test.ts shows that the bytes are that text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryMap, packRegions } from './e820.ts';
import { biosListing } from './firmware-services.ts';
import { pcLayout } from './layout.ts';

const CARRY = 1;
const ZERO = 0x40;
const map = memoryMap(pcLayout({ memoryBytes: 512 * 2 ** 20 }));
const listing = biosListing(map);

/** Just enough of a real-mode processor for the listing: flat 64 KiB of data, FLAGS with carry and zero. */
class Walker {
  readonly registers: Record<string, number> = {};
  readonly memory = new Uint8Array(0x10000);
  readonly stack: number[] = [];
  readonly outputs: string[] = [];
  readonly clock: Record<number, number> = {};
  #carry = false;
  #zero = false;

  constructor(registers: Record<string, number> = {}) {
    Object.assign(this.registers, { eax: 0, ebx: 0, ecx: 0, edx: 0, esi: 0, edi: 0, ebp: 0, esp: 0, ds: 0 }, registers);
  }

  /** A register's place: name of the 32-bit one, shift, mask. */
  #place(name: string): [full: string, shift: number, mask: number] {
    if (name === 'ds') return ['ds', 0, 0xffff];
    if (name.length === 3) return [name, 0, 0xffffffff];
    if (/^[abcd][lh]$/.test(name)) return [`e${name[0]}x`, name[1] === 'h' ? 8 : 0, 0xff];
    return [`e${name}`, 0, 0xffff];
  }

  get(operand: string): number {
    if (/^0?[0-9A-F]+h$/.test(operand)) return Number.parseInt(operand, 16);
    if (/^\d+$/.test(operand)) return Number(operand);
    const reference = /^(byte |word |dword )?\[(.*)\]$/.exec(operand);
    if (reference !== null) return this.#load(reference[2]!);
    const [full, shift, mask] = this.#place(operand);
    return ((this.registers[full]! >>> shift) & mask) >>> 0;
  }

  set(operand: string, value: number): void {
    const reference = /^(byte |word |dword )?\[(.*)\]$/.exec(operand);
    if (reference !== null) return this.#store(reference[2]!, value);
    const [full, shift, mask] = this.#place(operand);
    const kept = shift === 0 && mask === 0xffffffff ? 0 : this.registers[full]! & ~(mask << shift);
    this.registers[full] = (kept | ((value & mask) << shift)) >>> 0;
  }

  /** [bp+6] are the caller's flags: two words (return address) above the saved BP, counted from the top of the stack. */
  #load(at: string): number {
    if (at === 'bp+6') return this.stack.at(-4)!;
    const address = at === 'bx' ? this.get('bx') : this.get(at);
    return this.memory[address]! | (this.memory[address + 1]! << 8);
  }

  #store(at: string, value: number): void {
    if (at === 'bp+6') this.stack[this.stack.length - 4] = value & 0xffff;
    else [0, 1].forEach((byte) => (this.memory[this.get(at) + byte] = value >> (8 * byte)));
  }

  /** Calls a handler as INT does, with `flags`; returns the flags that its IRET gives back, or 'halted'. */
  call(handler: string, flags = 0): number | 'halted' {
    this.stack.push(flags, 0x1234, 0x5678); // FLAGS, CS, IP
    let at = this.#find(handler);
    for (let steps = 0; steps < 500; steps++) {
      const line = listing[at++]!;
      if ('jump' in line) {
        if (line.jump === 'call') this.stack.push(at);
        if (this.#taken(line.jump)) at = this.#find(line.to);
      } else if ('text' in line) {
        if (line.text === 'hlt') return 'halted';
        if (line.text === 'ret') at = this.stack.pop()!;
        if (line.text === 'iret') return this.#iret();
        this.#step(line.text);
      }
    }
    assert.fail('the handler does not end');
  }

  #find(name: string): number {
    return listing.findIndex((line) => 'label' in line && line.label === name);
  }

  #iret(): number {
    assert.deepEqual([this.stack.pop(), this.stack.pop()], [0x5678, 0x1234], 'the stack is balanced');
    return this.stack.pop()!;
  }

  #taken(mnemonic: string): boolean {
    const conditions: Record<string, boolean> = {
      je: this.#zero,
      jne: !this.#zero,
      jb: this.#carry,
      jae: !this.#carry,
    };
    return conditions[mnemonic] ?? true;
  }

  #step(text: string): void {
    const [, mnemonic, rest] = /^(cs rep movsb|\S+) ?(.*)$/.exec(text)!;
    const [to = '', from = ''] = rest!.split(',');
    const operations: Record<string, () => void> = {
      mov: () => this.set(to, this.get(from)),
      xor: () => this.set(to, this.get(to) ^ this.get(from)),
      and: () => this.set(to, this.get(to) & this.get(from)),
      or: () => this.set(to, this.get(to) | this.get(from)),
      inc: () => this.set(to, this.get(to) + 1),
      push: () => this.stack.push(this.get(to)),
      pop: () => this.set(to, this.stack.pop()!),
      imul: () => this.set('si', this.get('bx') * 0x14),
      cmp: () => ([this.#carry, this.#zero] = [this.get(to) < this.get(from), this.get(to) === this.get(from)]),
      xchg: () =>
        ([this.memory[0x470], this.registers['eax']] = [
          this.get('al'),
          (this.get('eax') & ~0xff) | this.memory[0x470]!,
        ]),
      in: () => this.set('al', this.clock[this.memory[0xffff]!] ?? 0),
      out: () => (to === '70h' ? (this.memory[0xffff] = this.get('al')) : this.outputs.push(`${to}=${this.get('al')}`)),
      'cs rep movsb': () => {
        this.memory.set(packRegions(map).subarray(this.get('si'), this.get('si') + this.get('cx')), this.get('di'));
        this.set('si', this.get('si') + this.get('cx'));
        this.set('di', this.get('di') + this.get('cx'));
      },
      cld: () => {},
      sti: () => {},
      int: () => {},
      ret: () => {},
    };
    assert.ok(operations[mnemonic!] !== undefined, text);
    operations[mnemonic!]!();
  }
}

const SMAP = 0x534d4150;

test('INT 15h E820h gives every entry once and then ends with EBX 0', () => {
  let ebx = 0;
  const entries: Uint8Array[] = [];
  do {
    const walker = new Walker({ eax: 0xe820, edx: SMAP, ecx: 24, ebx, edi: 0x5000, esi: 0x77 });
    assert.equal(walker.call('system', CARRY), 0, 'carry is cleared');
    assert.deepEqual(
      [walker.get('eax'), walker.get('ecx'), walker.get('esi'), walker.get('edi')],
      [SMAP, 20, 0x77, 0x5000],
    );
    entries.push(walker.memory.slice(0x5000, 0x5014));
    ebx = walker.get('ebx');
  } while (ebx !== 0 && entries.length < 100);
  assert.deepEqual(Buffer.concat(entries), Buffer.from(packRegions(map)));
});

test('INT 15h E820h refuses a wrong signature, a small buffer and an entry past the end', () => {
  for (const wrong of [{ edx: 0 }, { ecx: 19 }, { ebx: map.length }, { ebx: 0x10000 }]) {
    const walker = new Walker({ eax: 0xe820, edx: SMAP, ecx: 20, ebx: 0, edi: 0x5000, ...wrong });
    assert.equal(walker.call('system'), CARRY);
    assert.equal(walker.get('ah'), 0x86);
    assert.deepEqual(walker.memory.slice(0x5000, 0x5014), new Uint8Array(20));
  }
});

// prettier-ignore
const CALLS: readonly [what: string, handler: string, before: Record<string, number>, flags: number | 'halted', after: Record<string, number>][] = [
  ['E801h',              'system',   { eax: 0xe801 }, 0,        { ax: 0x3c00, bx: 0x1f00, cx: 0x3c00, dx: 0x1f00 }],
  ['88h',                'system',   { eax: 0x8800 }, 0,        { ax: 0xfc00 }],
  ['A20 status',         'system',   { eax: 0x2402 }, 0,        { ax: 0x0001 }],
  ['A20 on',             'system',   { eax: 0x2401 }, 0,        { ah: 0 }],
  ['A20 off',            'system',   { eax: 0x2400 }, CARRY,    { ah: 0x86 }],
  ['APM',                'system',   { eax: 0x5300 }, CARRY,    { ah: 0x86 }],
  ['disk read',          'disk',     { eax: 0x0201 }, CARRY,    { ah: 1 }],
  ['video mode',         'video',    { eax: 0x0f00 }, 0,        { ax: 0x5003, bh: 0 }],
  ['teletype',           'video',    { eax: 0x0e41 }, 0,        { ax: 0x0e41 }],
  ['VESA',               'video',    { eax: 0x4f00 }, 0,        { ax: 0x4f00 }],
  ['key there?',         'keyboard', { eax: 0x0100 }, ZERO,     {}],
  ['key there? (long)',  'keyboard', { eax: 0x1100 }, ZERO,     {}],
  ['shift state',        'keyboard', { eax: 0x02ff }, 0,        { al: 0 }],
  ['wait for a key',     'keyboard', { eax: 0x0000 }, 'halted', {}],
  ['PCI BIOS',           'time',     { eax: 0xb101 }, CARRY,    { ah: 0x86 }],
];

for (const [what, handler, before, flags, after] of CALLS) {
  test(`BIOS call: ${what}`, () => {
    const walker = new Walker(before);
    assert.equal(walker.call(handler), flags);
    for (const [register, value] of Object.entries(after)) assert.equal(walker.get(register), value, register);
  });
}

test('memory size and equipment come from the BIOS data area', () => {
  const walker = new Walker({ ebx: 0x1111, ds: 0x40 });
  walker.memory.set([0x22, 0x04, 0, 0x7f, 0x02], 0x410);
  walker.call('memory size');
  assert.deepEqual([walker.get('ax'), walker.get('bx'), walker.get('ds')], [639, 0x1111, 0x40]);
  walker.call('equipment');
  assert.equal(walker.get('ax'), 0x0422);
});

test('the clock, date and ticks', () => {
  const walker = new Walker({ eax: 0x0200 });
  Object.assign(walker.clock, { 0: 0x56, 2: 0x34, 4: 0x12, 7: 0x31, 8: 0x10, 9: 0x26, 0x32: 0x20 });
  assert.equal(walker.call('time', CARRY), 0);
  assert.deepEqual([walker.get('cx'), walker.get('dx'), walker.get('ah')], [0x1234, 0x5600, 2]);
  walker.set('ah', 4);
  assert.equal(walker.call('time'), 0);
  assert.deepEqual([walker.get('cx'), walker.get('dx')], [0x2026, 0x1031]);
  walker.memory.set([0x78, 0x56, 0x34, 0x12, 1], 0x46c);
  walker.set('ah', 0);
  walker.call('time');
  assert.deepEqual(
    [walker.get('cx'), walker.get('dx'), walker.get('al'), walker.memory[0x470]],
    [0x1234, 0x5678, 1, 0],
  );
});

test('interrupts are acknowledged where they came from', () => {
  const walker = new Walker({ eax: 0x1234 });
  walker.call('interrupt of the first 8259');
  assert.deepEqual(walker.outputs, ['20h=32']);
  walker.call('interrupt of the second 8259');
  assert.deepEqual(walker.outputs, ['20h=32', '0A0h=32', '20h=32']);
  walker.call('timer tick');
  assert.equal(walker.memory[0x46c], 1);
  assert.equal(walker.get('ax'), 0x1234);
});
