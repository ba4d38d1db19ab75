// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Processor } from '../cpu/processor.ts';
import { memoryLayout } from '../memory/layout.ts';
import { Memory } from '../memory/memory.ts';
import { INVEPT_TYPE, INVVPID_TYPE } from '../vtx/capability-questions.ts';
import { forgetEpt, forgetVpid, forgetVpid0, guestKey } from '../vtx/translations.ts';
import { AddressSpace } from './address-space.ts';
import { GLOBAL_KIND } from './global-translations.ts';
import { TranslationBuffers } from './tlb.ts';

const HIGH = 0x7f;
const PAGE = 0x12345000;
const HOST = memoryLayout(1, 1 << 20).ram;
const LARGE = 21;
const PSE = 22;
const HUGE = 30;

/** Buffers with one space, and what they still know of a linear page: data, fetch and global entries. */
class Filled {
  readonly buffers = new TranslationBuffers(new Memory(1, 1 << 20, 0xe0000000), 0);
  readonly context = this.buffers.space('one') * 4 + 2;

  fill(low: number): this {
    this.buffers.fillData(low, HIGH, this.context, HOST, true);
    this.buffers.fillFetch(low, HIGH, this.context, HOST);
    this.buffers.globals.fill(low, HIGH, this.context, HOST, GLOBAL_KIND.read);
    return this;
  }
  known(low: number): number {
    const { buffers, context } = this;
    const found = [
      buffers.findData(low, HIGH, context, false),
      buffers.findData(low, HIGH, context, true),
      buffers.findFetch(low, HIGH, context),
    ];
    return found.filter((host) => host !== -1).length + buffers.globals.kinds(low, HIGH, context);
  }
}
const ALL = 4;

describe('translation buffers', () => {
  test('invalidating a page drops every entry of it, and none of its neighbour', () => {
    const filled = new Filled().fill(PAGE).fill(PAGE + 0x1000);
    assert.equal(filled.known(PAGE), ALL);
    filled.buffers.invalidatePage(PAGE + 0xabc, HIGH);
    assert.equal(filled.known(PAGE), 0);
    assert.equal(filled.known(PAGE + 0x1000), ALL);
  });

  for (const [shift, inside, outside] of [
    [LARGE, PAGE ^ 0x100000, PAGE ^ 0x400000],
    [PSE, PAGE ^ 0x200000, PAGE ^ 0x400000],
    [HUGE, PAGE ^ 0x20000000, PAGE ^ 0x40000000],
  ]) {
    test(`a page of 2^${shift} bytes is dropped whole, by any address in it, and what is outside stays`, () => {
      const filled = new Filled().fill(PAGE).fill(outside);
      filled.buffers.noteLargePage(PAGE, HIGH, shift);
      filled.buffers.invalidatePage(inside, HIGH);
      assert.equal(filled.known(PAGE), 0);
      assert.equal(filled.known(outside), ALL);
      assert.equal(filled.buffers.wraps, 0);
    });
  }

  test('a region is dropped whole again when it was mapped by a large page again', () => {
    const filled = new Filled();
    for (let times = 0; times < 2; times++) {
      filled.fill(PAGE).buffers.noteLargePage(PAGE, HIGH, LARGE);
      filled.buffers.invalidatePage(PAGE ^ 0x100000, HIGH);
      assert.equal(filled.known(PAGE), 0);
    }
  });

  test('the same page at another address, or in another context, is another entry', () => {
    const { buffers, context } = new Filled().fill(PAGE);
    assert.equal(buffers.globals.kinds(PAGE, HIGH + 1, context), 0);
    assert.equal(buffers.globals.kinds(PAGE, HIGH, context - 1), 0);
  });

  test('a global entry learns kinds of access; of another host page it knows nothing', () => {
    const { globals } = new TranslationBuffers(new Memory(1, 1 << 20, 0xe0000000), 0);
    globals.fill(PAGE, HIGH, 5, HOST, GLOBAL_KIND.read);
    globals.fill(PAGE, HIGH, 5, HOST, GLOBAL_KIND.fetch);
    assert.equal(globals.kinds(PAGE, HIGH, 5), GLOBAL_KIND.read | GLOBAL_KIND.fetch);
    assert.equal(globals.host(PAGE + 0x123, 5), HOST + 0x123);
    globals.fill(PAGE, HIGH, 5, HOST + 0x1000, GLOBAL_KIND.write);
    assert.equal(globals.kinds(PAGE, HIGH, 5), GLOBAL_KIND.write);
  });

  test('when the numbers run out everything is forgotten', () => {
    const { buffers } = new Filled().fill(PAGE);
    for (let i = 0; buffers.wraps === 0; i++) buffers.space(`${i}`);
    assert.equal(buffers.globals.kinds(PAGE, HIGH, 6), 0);
    assert.equal(buffers.findData(PAGE, HIGH, 6, false), -1);
  });

  for (const before of [0, 1])
    test(`two spaces chosen together differ when the numbers run out, ${before} before them`, () => {
      const { buffers } = new Filled();
      const space = new AddressSpace(buffers);
      if (before === 1) buffers.space('two');
      for (let bits = 0; buffers.wraps === 0; bits++) space.choose('', 0, bits, true);
      assert.deepEqual([space.number, space.globals], [1, 2]);
    });

  test('other permission bits, another guest or another PCID: other spaces; only the last shares global pages', () => {
    const space = new AddressSpace(new Filled().buffers);
    const numbers = (guest: string, pcid: number, bits: number): number[] => {
      space.choose(guest, pcid, bits, true);
      return [space.number, space.globals];
    };
    const [first, globals] = numbers('', 1, 4);
    for (const other of [numbers('', 1, 12), numbers('v1_', 1, 4)])
      assert.equal(new Set([first, globals, ...other]).size, 4);
    const otherPcid = numbers('', 2, 4);
    assert.notEqual(otherPcid[0], first);
    assert.equal(otherPcid[1], globals);
    space.choose('', 1, 4, false);
    assert.deepEqual([space.number, space.globals], [first, 0]);
  });
});

describe('a page that gets translated code', () => {
  const other = HOST + 0x1000;
  /** What may still be written without a walk of pages that were filled one after the other. */
  const writable = (fills: readonly (readonly [low: number, host: number])[], times = 1): boolean[] => {
    const { buffers, context } = new Filled();
    for (let time = 0; time < times; time++) {
      for (const [low, host] of fills) buffers.fillData(low, HIGH, context, host, true);
      buffers.dropWriteTags(HOST + 0x123);
    }
    return fills.map(([low]) => buffers.findData(low, HIGH, context, true) !== -1);
  };

  test('loses its write tags, all of them, and no other page does', () => {
    assert.deepEqual(writable([[PAGE, HOST]]), [false]);
    assert.deepEqual(writable([[PAGE, HOST], [PAGE + 0x1000, HOST], [PAGE + 0x2000, other]]), [false, false, true]); // prettier-ignore
    assert.deepEqual(writable([[PAGE, other]]), [true]);
  });
  test('loses them each time', () => {
    assert.deepEqual(writable([[PAGE, HOST]], 2), [false]);
    assert.deepEqual(
      writable(
        [
          [PAGE, HOST],
          [PAGE + 0x1000, HOST],
        ],
        2,
      ),
      [false, false],
    );
  });
  test('does not cost another page the tag that took the place of its own', () => {
    const { buffers, context } = new Filled();
    buffers.fillData(PAGE, HIGH, context, HOST, true);
    buffers.fillData(PAGE, HIGH + 1, context, other, true);
    buffers.dropWriteTags(HOST);
    assert.notEqual(buffers.findData(PAGE, HIGH + 1, context, true), -1);
    assert.equal(buffers.findData(PAGE, HIGH, context, false), -1);
  });
  test('may still be read', () => {
    const { buffers, context } = new Filled();
    buffers.fillData(PAGE, HIGH, context, HOST, true);
    buffers.dropWriteTags(HOST);
    assert.equal(buffers.findData(PAGE + 5, HIGH, context, false), HOST + 5);
  });
});

describe('which spaces get new numbers', () => {
  const ROOT = 0x5000;
  const key = guestKey(7, ROOT, false, -1);
  /** The numbers before, and whether each is another one afterwards: of the space, of its global pages. */
  const renamed = (act: (cpu: Processor) => void, guest = key): boolean[] => {
    const buffers = new TranslationBuffers(new Memory(1, 1 << 20, 0xe0000000), 0);
    const space = new AddressSpace(buffers);
    space.choose(guest, 3, 4, true);
    const before = [space.number, space.globals];
    act({ mmu: { buffers, contextChanged() {}, invalidatePage() {} } } as unknown as Processor);
    space.choose(guest, 3, 4, true);
    return [space.number !== before[0], space.globals !== before[1]];
  };

  // prettier-ignore
  const rules: [string, (cpu: Processor) => void, string, boolean[]][] = [
    ['nothing happened',                   () => {},                                                        key, [false, false]],
    ['another PCID was flushed',           (cpu) => cpu.mmu.buffers.forget((k) => k.startsWith(`${key}|2|`)), key, [false, false]],
    ['the PCID was flushed: not globals',  (cpu) => cpu.mmu.buffers.forget((k) => k.startsWith(`${key}|3|`)), key, [true, false]],
    ['all of the guest was flushed',       (cpu) => cpu.mmu.buffers.forget((k) => k.startsWith(`${key}|`)),   key, [true, true]],
    ['INVEPT of its root',                 (cpu) => forgetEpt(cpu, INVEPT_TYPE.singleContext, ROOT),        key, [true, true]],
    ['INVEPT of another root',             (cpu) => forgetEpt(cpu, INVEPT_TYPE.singleContext, 0x6000),      key, [false, false]],
    ['INVEPT of all',                      (cpu) => forgetEpt(cpu, INVEPT_TYPE.allContext, 0),              key, [true, true]],
    ['INVVPID of its VPID',                (cpu) => forgetVpid(cpu, INVVPID_TYPE.singleContext, 7, 0),      key, [true, true]],
    ['INVVPID of another VPID',            (cpu) => forgetVpid(cpu, INVVPID_TYPE.singleContext, 8, 0),      key, [false, false]],
    ['INVVPID of all',                     (cpu) => forgetVpid(cpu, INVVPID_TYPE.allContext, 0, 0),         key, [true, true]],
    ['VM entry without VPID, its own',     (cpu) => forgetVpid0(cpu),                                       key, [false, false]],
    ['VM entry without VPID, VPID 0000H',  (cpu) => forgetVpid0(cpu),                                       guestKey(0, ROOT, false, -1), [true, true]],
  ];
  for (const [name, act, guest, expected] of rules) test(name, () => assert.deepEqual(renamed(act, guest), expected));
});
