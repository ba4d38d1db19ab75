// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CR4 } from '../../src/machine/cpu/processor.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import { AT, Bench, machineCode } from './bench.ts';

const RCX = 1;
const RAX = 0;
const PRESENT_WRITABLE = 3;
const GLOBAL = 0x100;
const NO_FLUSH = 1n << 63n;
const CR3_KEPT = BigInt(AT.pml4);

/** Fragments, each ended by HLT. Page 1 of the table is at 401000h. */
// prettier-ignore
const CODE = {
  read:       [0x10000, '8b 04 25 00 10 40 00 f4                         ; mov eax, [401000h]'],
  readHigh:   [0x10040, '8b 04 25 00 20 40 00 f4                         ; mov eax, [402000h]'],
  readFar:    [0x10180, '8b 04 25 00 10 c0 00 f4                         ; mov eax, [C01000h]'],
  invalidate: [0x10080, '0f 01 3c 25 00 10 40 00 8b 04 25 00 10 40 00 f4 ; invlpg [401000h]; mov eax, [401000h]'],
  switchCr3:  [0x100c0, '0f 22 d9 8b 04 25 00 10 40 00 f4                ; mov cr3, rcx; mov eax, [401000h]'],
  switchCr4:  [0x10100, '0f 22 e1 8b 04 25 00 10 40 00 f4                ; mov cr4, rcx; mov eax, [401000h]'],
  write:      [0x10140, '89 0c 25 00 10 40 00 f4                         ; mov [401000h], ecx'],
} as const;

const FIRST = 0x31000;
const SECOND = 0x32000;
const BRANCH = 0x33000;
const OLD = 0x11111111;
const NEW = 0x22222222;

class Translations extends Bench {
  constructor() {
    super({ code: Object.fromEntries(Object.values(CODE)), cpuFeatures: [] });
    this.poke64(FIRST, BigInt(OLD));
    this.poke64(SECOND, BigInt(NEW));
    this.map(0, 0x30000);
    this.map(1, FIRST);
    this.map(2, FIRST);
  }

  /** Runs a fragment with RCX: RAX afterwards, and how many walks that took. */
  do(fragment: keyof typeof CODE, rcx = 0n): { value: number; walks: number } {
    const before = this.cpu.mmu.walks;
    this.cpu.setReg64(RCX, rcx);
    this.call(CODE[fragment][0]);
    return { value: this.cpu.reg32(RAX), walks: this.cpu.mmu.walks - before };
  }
  /** Runs code up to its HLT. */
  call(address: number): void {
    this.goTo(address);
    assert.equal(this.run(1000), 'idle');
  }
  warm(): this {
    assert.equal(this.do('read').value, OLD);
    return this;
  }
}

describe('translations of addresses', () => {
  test('a page once used is not walked again, whatever the table says now', () => {
    const bench = new Translations().warm();
    bench.map(1, SECOND);
    assert.deepEqual(bench.do('read'), { value: OLD, walks: 0 });
  });

  test('INVLPG drops the page, and only it', () => {
    const bench = new Translations().warm();
    assert.equal(bench.do('readHigh').value, OLD);
    bench.map(1, SECOND);
    bench.map(2, SECOND);
    assert.deepEqual(bench.do('invalidate'), { value: NEW, walks: 1 });
    assert.deepEqual(bench.do('readHigh'), { value: OLD, walks: 0 });
  });

  test('INVLPG drops a global page too', () => {
    const bench = new Translations();
    bench.map(1, FIRST, PRESENT_WRITABLE | GLOBAL);
    bench.cpu.set32(STATE.cr4, bench.cpu.cr4 | CR4.PGE);
    bench.cpu.mmu.pagingChanged();
    bench.warm().map(1, SECOND);
    assert.equal(bench.do('invalidate').value, NEW);
  });

  test('INVLPG within a large page drops all of it', () => {
    const bench = new Translations();
    bench.poke64(0x201000, BigInt(OLD));
    bench.poke64(0x202000, BigInt(OLD));
    bench.poke64(AT.directory + 16, BigInt(0x200083));
    assert.equal(bench.do('readHigh').value, OLD);
    bench.warm().poke64(AT.directory + 16, BigInt(AT.table | PRESENT_WRITABLE));
    bench.map(2, SECOND);
    assert.equal(bench.do('invalidate').value, OLD, 'the table maps it to the same word');
    assert.equal(bench.do('readHigh').value, NEW);
  });

  test('INVLPG within a large page leaves what lies elsewhere alone', () => {
    const bench = new Translations();
    bench.poke64(AT.directory + 16, BigInt(0x200083));
    // The page table also maps C00000h, and with it C01000h to FIRST.
    bench.poke64(AT.directory + 48, BigInt(AT.table | PRESENT_WRITABLE));
    assert.equal(bench.do('readFar').value, OLD);
    bench.do('read');
    // The page itself; the code runs on from a large page of its own.
    assert.equal(bench.do('invalidate').walks, 1);
    assert.deepEqual(bench.do('readFar'), { value: OLD, walks: 0 });
  });

  describe('a global page', () => {
    /** Page 1 is global, and was read. */
    const shared = (): Translations => {
      const bench = new Translations();
      bench.map(1, FIRST, PRESENT_WRITABLE | GLOBAL);
      bench.cpu.set32(STATE.cr4, bench.cpu.cr4 | CR4.PGE);
      bench.cpu.mmu.pagingChanged();
      return bench.warm();
    };
    /** Of the fragment that switches: the page it is in. */
    const OWN_WALKS = 1;

    test('outlives MOV to CR3, and is not walked again', () => {
      const bench = shared();
      bench.map(1, SECOND, PRESENT_WRITABLE | GLOBAL);
      assert.deepEqual(bench.do('switchCr3', CR3_KEPT), { value: OLD, walks: OWN_WALKS });
    });

    test('that was read lets no store past the dirty bit after MOV to CR3', () => {
      const bench = shared();
      bench.do('switchCr3', CR3_KEPT);
      assert.equal(bench.do('write', 7n).walks, 1);
      assert.equal(bench.peek32(AT.table + 8) & 0x60, 0x60);
      bench.do('switchCr3', CR3_KEPT);
      assert.equal(bench.do('write', 8n).walks, 0);
      assert.equal(bench.peek32(FIRST), 8);
    });

    test('is dropped by INVLPG for every address space', () => {
      const bench = shared();
      bench.map(1, SECOND, PRESENT_WRITABLE | GLOBAL);
      assert.equal(bench.do('invalidate').value, NEW);
      assert.equal(bench.do('switchCr3', CR3_KEPT).value, NEW);
    });

    test('that holds code is written through: the code is dropped', () => {
      const bench = shared();
      const run = (value: number): void => {
        bench.call(0x401000);
        assert.equal(bench.cpu.reg32(RAX), value);
      };
      bench.pc.machine.busMaster(0).write(FIRST, constant(1));
      bench.do('write', 0x000006b8n);
      run(6);
      bench.do('switchCr3', CR3_KEPT);
      bench.do('write', 0x000007b8n);
      run(7);
    });
  });

  test('MOV to CR3 without PCIDs drops everything that is not global', () => {
    const bench = new Translations().warm();
    bench.map(1, SECOND);
    const { value, walks } = bench.do('switchCr3', CR3_KEPT);
    assert.equal(value, NEW);
    assert.ok(walks >= 1);
  });

  test('CR4.PGE drops global pages when it changes', () => {
    const bench = new Translations();
    bench.map(1, FIRST, PRESENT_WRITABLE | GLOBAL);
    const cr4 = BigInt(bench.cpu.cr4 | CR4.PGE);
    assert.equal(bench.do('switchCr4', cr4).value, OLD);
    bench.map(1, SECOND, PRESENT_WRITABLE | GLOBAL);
    assert.equal(bench.do('read').value, OLD);
    assert.equal(bench.do('switchCr4', cr4 & ~BigInt(CR4.PGE)).value, NEW);
  });

  test('with PCIDs, MOV to CR3 with bit 63 keeps what it knows, and without it forgets that PCID only', () => {
    const bench = new Translations();
    assert.equal(bench.do('switchCr4', BigInt(bench.cpu.cr4 | CR4.PCIDE)).value, OLD);
    assert.equal(bench.do('switchCr3', CR3_KEPT | 1n).value, OLD);
    assert.equal(bench.do('switchCr3', CR3_KEPT | 2n).value, OLD);
    assert.deepEqual(bench.do('switchCr3', CR3_KEPT | 1n | NO_FLUSH), { value: OLD, walks: 0 });
    bench.map(1, SECOND);
    assert.deepEqual(bench.do('switchCr3', CR3_KEPT | 2n | NO_FLUSH), { value: OLD, walks: 0 });
    assert.equal(bench.do('switchCr3', CR3_KEPT | 1n).value, NEW);
    assert.deepEqual(bench.do('switchCr3', CR3_KEPT | 2n | NO_FLUSH), { value: OLD, walks: 0 });
    assert.equal(bench.do('switchCr3', CR3_KEPT | 2n).value, NEW);
    assert.equal(bench.cpu.get64(STATE.cr3), CR3_KEPT | 2n);
  });

  test('a translation made for reading does not let a store past the dirty bit', () => {
    const bench = new Translations().warm();
    const entry = AT.table + 8;
    assert.equal(bench.peek32(entry) & 0x60, 0x20);
    assert.equal(bench.do('write', 7n).walks, 1);
    assert.equal(bench.peek32(entry) & 0x60, 0x60);
    assert.equal(bench.do('write', 8n).walks, 0);
    assert.equal(bench.peek32(FIRST), 8);
  });
});

/** `mov eax, imm32; hlt`. */
const constant = (value: number): Uint8Array => {
  const code = machineCode('b8 00 00 00 00 f4');
  new DataView(code.buffer).setUint32(1, value, true);
  return code;
};

describe('translated code', () => {
  const dropped = (bench: Bench): number => bench.unit.decoding.translator.store.counts.pagesDropped;
  const write = (bench: Bench, address: number, bytes: Uint8Array): void =>
    bench.pc.machine.busMaster(0).write(address, bytes);

  test('a device writes over code', () => {
    const bench = new Translations();
    for (const value of [1, 2, 3]) {
      write(bench, FIRST, constant(value));
      bench.call(0x401000);
      assert.equal(bench.cpu.reg32(RAX), value);
    }
    assert.equal(dropped(bench), 2);
  });

  test('a store elsewhere in the page drops nothing; one to the bytes does', () => {
    const bench = new Translations();
    write(bench, FIRST + 0x80, constant(5));
    bench.call(0x401080);
    const before = dropped(bench);
    bench.do('write', 0x1234n);
    assert.equal(dropped(bench), before);
    assert.equal(bench.peek32(FIRST), 0x1234);
    bench.call(0x401080);
    assert.equal(bench.cpu.reg32(RAX), 5);
    write(bench, FIRST, constant(5));
    bench.call(0x401000);
    bench.do('write', 0x000006b8n);
    assert.equal(dropped(bench), before + 1);
    bench.call(0x401000);
    assert.equal(bench.cpu.reg32(RAX), 6);
  });

  test('code seen at two addresses is written through one', () => {
    const bench = new Translations();
    write(bench, FIRST, constant(1));
    bench.call(0x401000);
    bench.call(0x402000);
    bench.do('write', 0x000009b8n);
    bench.call(0x402000);
    assert.equal(bench.cpu.reg32(RAX), 9);
  });

  describe('a branch into the next page', () => {
    // The branch's page is mapped at 404000h and 406000h, with other pages behind it.
    const aliased = (branch: string): Translations => {
      const bench = new Translations();
      [BRANCH, FIRST, BRANCH, SECOND].forEach((page, i) => bench.map(4 + i, page));
      write(bench, BRANCH, machineCode(branch));
      write(bench, FIRST, constant(1));
      write(bench, SECOND, constant(2));
      return bench;
    };
    const goes = (bench: Translations, address: number, to: number): void => {
      bench.call(address);
      assert.equal(bench.cpu.reg32(RAX), to);
    };
    // prettier-ignore
    const branches = {
      'JMP':               'e9 fb 0f 00 00',
      'CALL':              'bc 00 08 03 00 e8 f6 0f 00 00 ; mov esp, 30800h; call',
      'CMP and JE, taken': '39 c0 0f 84 f8 0f 00 00       ; cmp eax, eax; je',
    };
    for (const [name, code] of Object.entries(branches)) {
      test(`${name}: from a page that is mapped twice it goes where each mapping leads`, () => {
        const bench = aliased(code);
        for (let times = 0; times < 3; times++) {
          goes(bench, 0x404000, 1);
          goes(bench, 0x406000, 2);
        }
      });

      test(`${name}: it follows the page behind it when that is remapped`, () => {
        const bench = aliased(code);
        for (let times = 0; times < 3; times++) goes(bench, 0x404000, 1);
        bench.map(5, SECOND);
        bench.do('switchCr3', CR3_KEPT);
        for (let times = 0; times < 3; times++) goes(bench, 0x404000, 2);
      });
    }
  });

  test('a block patches the instruction after the store', () => {
    const bench = new Translations();
    // 401000h: mov byte [401008h + 1], 42h; mov al, 0; hlt
    write(bench, FIRST, machineCode('c6 04 25 09 10 40 00 42 b0 00 f4'));
    bench.call(0x401000);
    assert.equal(bench.cpu.reg32(RAX) & 0xff, 0x42);
  });

  test('a repeated store overwrites itself: the rest of it is done, then the new code', () => {
    const bench = new Translations();
    // mov edi, 401000h; mov ecx, 40h; mov al, 90h; rep stosb (at 40100ch); then NOPs as far as 40103fh; mov al, 5; hlt
    write(bench, FIRST, machineCode('bf 00 10 40 00 b9 40 00 00 00 b0 90 f3 aa'));
    write(bench, FIRST + 0x40, machineCode('b0 05 f4'));
    bench.call(0x401000);
    assert.equal(bench.cpu.reg32(RCX), 0);
    assert.equal(bench.cpu.reg32(RAX) & 0xff, 5);
    assert.equal(bench.peek32(FIRST), 0x90909090);
  });

  describe('an instruction across two pages', () => {
    const AT_END = 0x400ffd; // `mov eax, imm32`: two of its bytes are in the next page
    const place = (bench: Bench, value: number, second: number): void => {
      const code = constant(value);
      write(bench, 0x30ffd, code.subarray(0, 3));
      write(bench, second, code.subarray(3));
    };

    test('whose second page is remapped', () => {
      const bench = new Translations();
      place(bench, 0x11110001, SECOND);
      place(bench, 0x22220001, FIRST);
      bench.call(AT_END);
      assert.equal(bench.cpu.reg32(RAX), 0x22220001);
      bench.map(1, SECOND);
      bench.do('invalidate');
      bench.call(AT_END);
      assert.equal(bench.cpu.reg32(RAX), 0x11110001);
      bench.map(1, FIRST);
      bench.do('invalidate');
      bench.call(AT_END);
      assert.equal(bench.cpu.reg32(RAX), 0x22220001);
    });

    test('whose second page is written', () => {
      const bench = new Translations();
      place(bench, 0x11110001, FIRST);
      bench.call(AT_END);
      place(bench, 0x33330001, FIRST);
      bench.call(AT_END);
      assert.equal(bench.cpu.reg32(RAX), 0x33330001);
      place(bench, 0x33330002, FIRST);
      bench.call(AT_END);
      assert.equal(bench.cpu.reg32(RAX), 0x33330002);
    });
  });
});
