// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AT, Bench, machineCode } from '../../../../tests/machine/bench.ts';

const [RAX, RCX, RSP, RSI, RDI] = [0, 1, 4, 6, 7];
const PAGES = 12;
const PAGE = 0x1000;
/** Physical pages of the linear ones from AT.pages on: never in order, so that a run must look at each page. */
const PHYSICAL = Array.from({ length: PAGES }, (_, i) => 0x100000 + ((i * 5) % PAGES) * PAGE);
const HANDLER = 0x11000;
const VALUE = 0x8877665544332211n;

interface Case {
  readonly store: boolean;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly down: boolean;
  /** Offsets from AT.pages. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

function code({ store, bytes, down }: Case): string {
  const prefix = bytes === 8 ? 'f3 48' : bytes === 2 ? '66 f3' : 'f3';
  return `${down ? 'fd' : 'fc'} ${prefix} ${(store ? 0xaa : 0xa4) + (bytes === 1 ? 0 : 1)} f4`.replace(
    / (\d+) f4$/,
    (_, opcode: string) => ` ${Number(opcode).toString(16)} f4`,
  );
}

/** The pages as one run of bytes, each with a content of its own. */
const content = (): Uint8Array => Uint8Array.from({ length: PAGES * PAGE }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);

/** One element after the other; returns how many were done before `limit` bytes ran out. */
function reference(memory: Uint8Array, { store, bytes, down, from, to, count }: Case, pages: number): number {
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, VALUE, true);
  const step = down ? -bytes : bytes;
  const outside = (at: number): boolean => at < 0 || at + bytes > pages * PAGE;
  for (let i = 0; i < count; i++) {
    const [source, target] = [from + i * step, to + i * step];
    if (outside(target) || (!store && outside(source))) return i;
    memory.set(store ? value.slice(0, bytes) : memory.slice(source, source + bytes), target);
  }
  return count;
}

class StringBench extends Bench {
  private instance: Case = { store: true, bytes: 1, down: false, from: 0, to: 0, count: 0 };
  private before = 0;

  constructor() {
    super({ code: { [HANDLER]: 'f4' }, handlers: { 14: HANDLER } });
  }

  /** About to execute the case, with `pages` pages mapped. */
  prepare(instance: Case, pages = PAGES): this {
    this.instance = instance;
    const bytes = content();
    this.pc.machine.memory.write(AT.code, machineCode(code(instance)));
    PHYSICAL.forEach((physical, i) => {
      this.map(i, physical, i < pages ? 3 : 0);
      this.pc.machine.memory.write(physical, bytes.subarray(i * PAGE, (i + 1) * PAGE));
    });
    this.cpu.mmu.forgetAll();
    this.cpu.setReg64(RAX, VALUE);
    this.cpu.setReg64(RCX, BigInt(instance.count));
    this.cpu.setReg64(RSI, BigInt(AT.pages + instance.from));
    this.cpu.setReg64(RDI, BigInt(AT.pages + instance.to));
    this.cpu.setReg64(RSP, BigInt(AT.stack));
    this.before = this.pc.machine.instructions;
    this.goTo(AT.code);
    return this;
  }
  get retired(): number {
    return this.pc.machine.instructions - this.before;
  }

  content(): Uint8Array {
    const bytes = new Uint8Array(PAGES * PAGE);
    PHYSICAL.forEach((physical, i) => this.pc.machine.memory.read(physical, bytes.subarray(i * PAGE, (i + 1) * PAGE)));
    return bytes;
  }

  /** Registers and memory are those after `done` elements. */
  check(done: number, expected: Uint8Array): void {
    const { store, bytes, down, from, to, count } = this.instance;
    const moved = done * (down ? -bytes : bytes);
    const what = JSON.stringify(this.instance);
    assert.equal(this.cpu.reg64(RCX), BigInt(count - done), what);
    assert.equal(this.cpu.reg64(RDI), BigInt(AT.pages + to + moved), what);
    assert.equal(this.cpu.reg64(RSI), BigInt(AT.pages + from + (store ? 0 : moved)), what);
    assert.equal(Buffer.compare(this.content(), expected), 0, what);
  }
}

function* cases(number: number): Generator<Case> {
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const near = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 64, 100, 4095, 4096, 4097];
  for (let i = 0; i < number; i++) {
    const bytes = ([1, 2, 4, 8] as const)[random(4)]!;
    const count = [0, 1, 2, 3, 15, 100, 511, 512, 513, 1500][random(10)]!;
    const down = random(3) === 0;
    const room = PAGES * PAGE - count * bytes - 4200;
    const first = 4100 + random(Math.max(1, room - 4100));
    const start = down ? first + Math.max(0, count - 1) * bytes : first;
    const distance = near[random(near.length)]! * (random(2) === 0 ? 1 : -1);
    yield { store: random(4) === 0, bytes, down, from: start, to: start + distance, count };
  }
}

describe('REP MOVS and REP STOS', () => {
  test('do what one element after the other does, in any direction, overlapping or not, and count each', () => {
    const bench = new StringBench();
    for (const instance of cases(400)) {
      bench.prepare(instance);
      const expected = content();
      assert.equal(reference(expected, instance, PAGES), instance.count);
      assert.equal(bench.run(100_000), 'idle');
      bench.check(instance.count, expected);
      assert.equal(bench.retired, 2 + Math.max(1, instance.count), JSON.stringify(instance));
    }
  });

  test('stop wherever the budget ends, and go on', () => {
    const bench = new StringBench();
    for (const instance of cases(60)) {
      if (instance.count < 3) continue;
      for (const done of [1, 2, instance.count >> 1, instance.count - 1]) {
        bench.prepare(instance);
        const expected = content();
        reference(expected, { ...instance, count: done }, PAGES);
        bench.run(1 + done);
        bench.check(done, expected);
        const rest = content();
        reference(rest, instance, PAGES);
        assert.equal(bench.run(100_000, 977), 'idle');
        bench.check(instance.count, rest);
        assert.equal(bench.retired, 2 + instance.count);
      }
    }
  });

  test('fault at the first element that is not mapped; those before it are done', () => {
    const mapped = 5;
    let faults = 0;
    const bench = new StringBench();
    for (const either of cases(120)) {
      const instance = { ...either, down: false };
      const expected = content();
      const done = reference(expected, instance, mapped);
      if (done === instance.count) continue;
      faults++;
      bench.prepare(instance, mapped);
      assert.equal(bench.run(100_000), 'idle');
      bench.check(done, expected);
      assert.equal(bench.cpu.rip, HANDLER + 1);
    }
    assert.ok(faults > 30, `${faults} faults`);
  });

  test('registers carry and borrow across 32 bits', () => {
    const bench = new StringBench();
    // FFE00000h..FFFFFFFFh is a page of its own, and 100000000h is where 0 is.
    bench.poke64(AT.pdpt + 24, BigInt(AT.directory | 3));
    bench.poke64(AT.pdpt + 32, BigInt(AT.directory | 3));
    bench.poke64(AT.directory + 511 * 8, 0x200083n);
    for (const [down, start, end] of [
      [false, 0xfffffff0n, 0x100000010n],
      [true, 0x100000008n, 0xffffffe8n],
    ] as const) {
      bench.prepare({ store: true, bytes: 8, down, from: 0, to: 0, count: 4 });
      bench.cpu.setReg64(RDI, start);
      bench.run(100);
      assert.equal(bench.cpu.reg64(RDI), end);
      assert.equal(bench.peek32(0), 0x44332211);
      assert.equal(bench.peek32(0x3ffff8), 0x44332211);
    }
    bench.prepare({ store: true, bytes: 1, down: false, from: 0, to: 0, count: 2 ** 32 + 8 });
    bench.run(1 + 20);
    assert.equal(bench.cpu.reg64(RCX), 2n ** 32n - 12n);
  });

  test('two linear pages of one physical page overlap although their addresses do not', () => {
    const instance: Case = { store: false, bytes: 1, down: false, from: 0, to: 2 * PAGE + 3, count: 500 };
    const bench = new StringBench().prepare(instance);
    bench.map(2, PHYSICAL[0]!);
    assert.equal(bench.run(100_000), 'idle');
    const [bytes, before] = [bench.content(), content()];
    for (let i = 0; i < 503; i++) assert.equal(bytes[i], before[i % 3], `byte ${i}`);
  });
});

describe('pages that are cleared', () => {
  const clear: Case = { store: true, bytes: 8, down: false, from: 0, to: PAGE, count: PAGE / 8 };
  const cleared = (content: number): StringBench => {
    const bench = new StringBench().prepare(clear);
    bench.pc.machine.memory.write(PHYSICAL[1]!, new Uint8Array(PAGE).fill(content));
    bench.cpu.setReg64(RAX, 0n);
    bench.run(100_000);
    return bench;
  };
  const again = (bench: StringBench): void => {
    bench.cpu.setReg64(RCX, BigInt(clear.count));
    bench.cpu.setReg64(RDI, BigInt(AT.pages + PAGE));
    bench.goTo(AT.code);
    bench.run(100_000);
  };
  const page = (bench: StringBench): Uint8Array => bench.content().subarray(PAGE, 2 * PAGE);
  const written = (bench: StringBench): number => {
    const { memory } = bench.pc.machine;
    return memory.written[memory.host(PHYSICAL[1]!) >>> 12]!;
  };

  test('a page of zeros that nobody wrote stays unwritten, and is clean for the first store', () => {
    const bench = cleared(0);
    assert.equal(written(bench), 0);
    bench.pc.machine.memory.write(0x12000, Uint8Array.of(0xc6, 0x04, 0x25, 0, 0x10, 0x40, 0, 5, 0xf4)); // mov byte [401000h], 5; hlt
    bench.goTo(0x12000);
    bench.run(10);
    assert.deepEqual([written(bench), page(bench)[0]], [1, 5]);
    again(bench);
    assert.ok(page(bench).every((byte) => byte === 0));
  });

  test('a page that a device wrote becomes zero', () => {
    const bench = cleared(3);
    assert.ok(page(bench).every((byte) => byte === 0));
    bench.pc.machine.busMaster(0).write(PHYSICAL[1]! + 0xfff, Uint8Array.of(9));
    again(bench);
    assert.ok(page(bench).every((byte) => byte === 0));
  });

  test('the dirty flag is set although nothing was written', () => {
    const bench = cleared(0);
    assert.equal(bench.peek32(AT.table + 8) & 0x60, 0x60);
  });
});
