// SPDX-License-Identifier: Apache-2.0
// EPT: the walker against a plain reference, then violations, misconfigurations and flags as a guest causes them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import { RAX, RBX } from '../cpu/state.ts';
import { Memory } from '../memory/memory.ts';
import { EPT_WALK, EptWalker } from './ept.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

interface Reference {
  readonly outcome: 'ok' | 'violation' | 'misconfiguration';
  readonly physical?: bigint;
  readonly permissions?: bigint;
}

/** The rules of SDM 29.3.2 and 29.3.3 as they are written, in BigInt. */
function reference(
  read: (address: bigint) => bigint,
  root: bigint,
  address: bigint,
  needed: bigint,
  executeOnly: boolean,
  giant: boolean,
): Reference {
  const ADDRESS = ((1n << 39n) - 1n) & ~0xfffn;
  let table = root;
  let permissions = 7n;
  for (let level = 4; level >= 1; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = read(table + ((address >> shift) & 0x1ffn) * 8n);
    if ((entry & 7n) === 0n) return { outcome: 'violation', permissions: 0n };
    const page = level === 1 || (level < 4 && (entry & 0x80n) !== 0n);
    const bits = entry & 7n;
    const bad =
      bits === 2n ||
      bits === 6n ||
      (bits === 4n && !executeOnly) ||
      (entry & (((1n << 52n) - 1n) ^ ((1n << 39n) - 1n))) !== 0n ||
      (page ? [2n, 3n, 7n].includes((entry >> 3n) & 7n) : (entry & (level === 4 ? 0xf8n : 0x78n)) !== 0n) ||
      (page && level === 3 && (!giant || (entry & 0x3ffff000n) !== 0n)) ||
      (page && level === 2 && (entry & 0x1ff000n) !== 0n);
    if (bad) return { outcome: 'misconfiguration' };
    permissions &= bits;
    if (!page) {
      table = entry & ADDRESS;
      continue;
    }
    if ((permissions & needed) !== needed) return { outcome: 'violation', permissions };
    const size = 1n << shift;
    return { outcome: 'ok', permissions, physical: (entry & ADDRESS & ~(size - 1n)) | (address & (size - 1n)) };
  }
  throw new Error('four levels end at a page');
}

describe('the EPT walker', () => {
  it('agrees with the reference on random tables', () => {
    const memory = new Memory(1, 1 << 20, 0xb0000000);
    const at = (address: bigint): number => memory.host(Number(address));
    const read = (address: bigint): bigint =>
      at(address) < 0 ? (1n << 64n) - 1n : memory.view.getBigUint64(at(address), true);
    const walker = new EptWalker(memory);
    walker.use(0x1000, false);
    // Mostly sound entries, so that walks go deep; now and then any bit at all.
    const flags = fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(7n, 0x37n, 3n, 0x31n, 1n, 5n, 0x35n, 0xb7n, 0xb3n, 0x87n, 0x34n, 4n) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 0xfffn }) },
    );
    const frame = fc.oneof(
      { weight: 12, arbitrary: fc.bigInt({ min: 1n, max: 6n }) },
      { weight: 2, arbitrary: fc.constantFrom(0x200n, 0x40000n, 0x3ffffn) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 40n) - 1n }) },
    );
    const entry = fc.tuple(frame, flags).map(([number, bits]) => (number << 12n) | bits);
    const index = fc.integer({ min: 0, max: 1 });
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 12, maxLength: 12 }),
        fc.tuple(index, index, index, index),
        fc.integer({ min: 0, max: 0x1fffff }),
        fc.constantFrom(1, 2, 4, 3),
        fc.boolean(),
        fc.boolean(),
        (entries, path, offset, needed, executeOnly, page1GByte) => {
          entries.forEach((value, i) =>
            memory.view.setBigUint64(at(BigInt(0x1000 + (i >> 1) * 0x1000 + (i & 1) * 8)), value, true),
          );
          const address =
            path.reduce((sum, each, i) => sum + BigInt(each) * (1n << BigInt(39 - 9 * i)), 0n) + BigInt(offset % 4096);
          walker.features = { executeOnly, page1GByte, page2MByte: true };
          const expected = reference(read, 0x1000n, address, BigInt(needed), executeOnly, page1GByte);
          walker.mappings.forget(undefined);
          const outcome = walker.walk(Number(address), needed);
          assert.equal(outcome, EPT_WALK[expected.outcome]);
          if (expected.physical !== undefined) assert.equal(BigInt(walker.physical), expected.physical);
          if (expected.outcome !== 'misconfiguration') assert.equal(BigInt(walker.permissions), expected.permissions);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('translates nothing beyond 48 bits', () => {
    const walker = new EptWalker(new Memory(1, 1 << 20, 0xb0000000));
    assert.equal(walker.walk(2 ** 48, 1), EPT_WALK.violation);
  });
});

const bench = new VmxBench();
const PTE = AT.ept + 0x3000;
const DATA = AT.guestData;
/** MOV RAX, [guestData + 8]; MOV [guestData + 8], RBX; MOV RAX from the other address. */
const LOAD = '48 8b 04 25 08 00 20 00';
const STORE = '48 89 1c 25 08 00 20 00';

/**
 * Guest-physical 0 to 2 MiB one to one; 2 to 4 MiB in 4-KByte pages that lie one page further up in memory.
 * `low` are the bits of an EPTP beside the root.
 */
function withEpt(low = 0x1e): VmxBench {
  bench
    .reset()
    .secondary(SECONDARY.ENABLE_EPT | SECONDARY.ENABLE_VPID)
    .set('EPT_POINTER', AT.ept | low);
  bench.poke64(AT.ept, (AT.ept + 0x1000) | 7);
  bench.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
  bench.poke64(AT.ept + 0x2000, 0xb7);
  bench.poke64(AT.ept + 0x2008, PTE | 7);
  for (let i = 0; i < 512; i++) bench.poke64(PTE + 8 * i, (DATA + 0x1000 + (i << 12)) | 0x37);
  bench.poke64(DATA + 0x1008, 0xcafe);
  return bench;
}
/** The entry of the page at guestData. */
const entry = (value: number): void => bench.poke64(PTE, value);
const READ = 1,
  WRITE = 2,
  FETCH = 4,
  LINEAR = 1 << 7,
  TRANSLATED = 1 << 8;

describe('a guest under EPT', () => {
  it('is translated twice', () => {
    withEpt();
    assert.equal(bench.launch(`${LOAD} 0f a2`), 'CPUID');
    assert.equal(bench.cpu.reg64(RAX), 0xcafen);
  });
  it('an absent page: violation, with both addresses, qualification and length', () => {
    withEpt();
    entry(0);
    assert.equal(bench.launch(`90 ${LOAD}`), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | LINEAR | TRANSLATED);
    assert.equal(bench.get('GUEST_PHYSICAL_ADDRESS'), DATA + 8);
    assert.equal(bench.get('GUEST_LINEAR_ADDRESS'), DATA + 8);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 1);
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 8);
    assert.equal(bench.get('GUEST_RFLAGS') & 0x10000, 0x10000, 'RF');
    entry((DATA + 0x1000) | 0x37);
    bench.poke(AT.guestCode + 9, [0x0f, 0xa2]);
    assert.equal(bench.resume(), 'CPUID', 'the access is made again');
    assert.equal(bench.cpu.reg64(RAX), 0xcafen);
    assert.equal(bench.get('GUEST_RFLAGS') & 0x10000, 0);
  });
  it('a write to a page that may only be read, also after it was read', () => {
    withEpt();
    entry((DATA + 0x1000) | 0x31);
    assert.equal(bench.launch(`${LOAD} ${STORE}`), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), WRITE | (1 << 3) | LINEAR | TRANSLATED);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 8);
    // The software moves the page elsewhere: the violation has dropped what was cached for reads.
    bench.poke64(DATA + 0x5008, 0xbeef);
    entry((DATA + 0x5000) | 0x37);
    bench.poke(AT.guestCode + 8, [...LOAD.split(' ').map((b) => parseInt(b, 16)), 0x0f, 0xa2]);
    assert.equal(bench.resume(), 'CPUID');
    assert.equal(bench.cpu.reg64(RAX), 0xbeefn);
  });
  it('a fetch from a page that may not be executed', () => {
    withEpt();
    entry((DATA + 0x1000) | 0x33);
    assert.equal(bench.launch('b8 00 00 20 00 ff e0'), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), FETCH | (3 << 3) | LINEAR | TRANSLATED);
    assert.equal(bench.get('GUEST_PHYSICAL_ADDRESS'), DATA);
    assert.equal(bench.get('GUEST_RIP'), DATA);
  });
  it('an execute-only page can be executed and not be read', () => {
    withEpt();
    bench.poke(DATA + 0x1000, [0x0f, 0xa2]);
    entry((DATA + 0x1000) | 0x34);
    assert.equal(bench.launch('b8 00 00 20 00 ff e0'), 'CPUID');
    bench.poke(
      AT.guestCode,
      LOAD.split(' ').map((b) => parseInt(b, 16)),
    );
    bench.set('GUEST_RIP', AT.guestCode);
    assert.equal(bench.resume(), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | (4 << 3) | LINEAR | TRANSLATED);
  });
  it('writable but not readable is a misconfiguration; so is a reserved memory type', () => {
    for (const bad of [DATA | 0x32, DATA | 0x3f, DATA | 0x17]) {
      withEpt();
      entry(bad);
      assert.equal(bench.launch(STORE), 'EPT_MISCONFIG');
      assert.equal(bench.get('GUEST_PHYSICAL_ADDRESS'), DATA + 8);
      assert.equal(bench.get('EXIT_QUALIFICATION'), 0);
      assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 8);
    }
  });
  it('a guest paging structure that is absent: bit 8 is 0', () => {
    withEpt().set('GUEST_CR3', DATA);
    entry(0);
    assert.equal(bench.launch('90'), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | LINEAR);
    assert.equal(bench.get('GUEST_PHYSICAL_ADDRESS'), DATA);
    assert.equal(bench.get('GUEST_LINEAR_ADDRESS'), AT.guestCode);
  });
  it('setting the accessed flag in a guest paging structure is a write', () => {
    withEpt().set('GUEST_CR3', DATA);
    entry((DATA + 0x1000) | 0x31);
    bench.poke64(DATA + 0x1000, (AT.pageTables + 0x1000) | 0x27);
    assert.equal(bench.launch('0f a2'), 'CPUID', 'set already');
    withEpt().set('GUEST_CR3', DATA);
    entry((DATA + 0x1000) | 0x31);
    bench.poke64(DATA + 0x1000, (AT.pageTables + 0x1000) | 7);
    assert.equal(bench.launch('0f a2'), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | WRITE | (1 << 3) | LINEAR);
    assert.equal(bench.peek64(DATA + 0x1000), BigInt((AT.pageTables + 0x1000) | 7), 'and nothing was written');
  });
});

describe('accessed and dirty flags', () => {
  it('are set on the way, dirty at the first write', () => {
    withEpt(0x5e);
    assert.equal(bench.launch(`${LOAD} 0f a2`), 'CPUID');
    assert.equal(bench.peek64(PTE) & 0x300n, 0x100n);
    assert.equal(bench.peek64(AT.ept) & 0x100n, 0x100n);
    bench.poke(AT.guestCode + 8, [...STORE.split(' ').map((b) => parseInt(b, 16)), 0x0f, 0xa2]);
    bench.cpu.setReg64(RBX, 0x99n);
    assert.equal(bench.resume(), 'CPUID');
    assert.equal(bench.peek64(PTE) & 0x300n, 0x300n);
    assert.equal(bench.peek64(DATA + 0x1008), 0x99n);
  });
  it('are not touched while bit 6 of the EPTP is 0', () => {
    withEpt();
    assert.equal(bench.launch(`${STORE} 0f a2`), 'CPUID');
    assert.equal(bench.peek64(PTE) & 0x300n, 0n);
  });
  it('make accesses to guest paging structures writes', () => {
    withEpt(0x5e).set('GUEST_CR3', DATA);
    entry((DATA + 0x1000) | 0x31);
    bench.poke64(DATA + 0x1000, (AT.pageTables + 0x1000) | 0x27);
    assert.equal(bench.launch('0f a2'), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | WRITE | (1 << 3) | LINEAR);
    withEpt(0x5e).set('GUEST_CR3', DATA);
    bench.poke64(DATA + 0x1000, (AT.pageTables + 0x1000) | 0x27);
    assert.equal(bench.launch('0f a2'), 'CPUID');
    assert.equal(bench.peek64(PTE) & 0x300n, 0x300n);
  });
});

describe('an unrestricted guest', () => {
  it('runs in real mode: guest-physical is what segmentation gives', () => {
    withEpt().secondary(SECONDARY.UNRESTRICTED_GUEST);
    bench
      .set('VM_ENTRY_CONTROLS', bench.get('VM_ENTRY_CONTROLS') & ~0x200)
      .set('GUEST_CR0', 0x30)
      .set('GUEST_CR4', 0x2000)
      .set('GUEST_IA32_EFER', 0);
    for (const name of ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const) {
      bench
        .set(`GUEST_${name}_AR_BYTES`, 0x93)
        .set(`GUEST_${name}_LIMIT`, 0xffff)
        .set(`GUEST_${name}_SELECTOR`, 0x4000)
        .set(`GUEST_${name}_BASE`, AT.guestCode);
    }
    bench.set('GUEST_CS_AR_BYTES', 0x9b).set('GUEST_RIP', 0).set('GUEST_RSP', 0x100).set('GUEST_DS_BASE', DATA);
    assert.equal(bench.launch('66 a1 08 00 0f a2'), 'CPUID');
    assert.equal(bench.cpu.reg32(RAX), 0xcafe);
    assert.equal(bench.get('GUEST_RIP'), 4);
    assert.equal(bench.get('GUEST_CS_AR_BYTES'), 0x9b);
  });
  it('may clear PG and PE where the host does not own them', () => {
    withEpt().secondary(SECONDARY.UNRESTRICTED_GUEST);
    assert.equal(bench.unit.controlAllowed(bench.cpu, 0, 0x20), false);
    bench.launch('0f a2');
    bench.unit.state.nonRoot = true;
    assert.equal(bench.unit.controlAllowed(bench.cpu, 0, 0x20), true);
    bench.unit.state.nonRoot = false;
  });
});

describe('cached translations', () => {
  /** The page moves in the guest's dimension: its large page is at guest-physical 0 now. */
  const byGuest = (): void => {
    bench.poke64(8, 0xbeef);
    bench.poke64(AT.pageTables + 0x2008, 0xe7);
  };
  /** It moves in the EPT's. */
  const byEpt = (): void => {
    bench.poke64(DATA + 0x5008, 0xbeef);
    entry((DATA + 0x5000) | 0x37);
  };
  /** Reads the page, exits, moves the page, does `between`, reads again. */
  function reread(move: () => void, between: (b: VmxBench) => void): bigint {
    withEpt();
    return rereadFrom(move, between);
  }
  function rereadFrom(move: () => void, between: (b: VmxBench) => void): bigint {
    bench.launch(`${LOAD} 0f a2`);
    move();
    between(bench);
    bench.set('GUEST_RIP', AT.guestCode);
    bench.resume();
    return bench.cpu.reg64(RAX);
  }
  const execute =
    (opcode: string, type: bigint, low: number) =>
    (b: VmxBench): void => {
      b.cpu.setReg64(RAX, type);
      b.poke64(AT.operand, low);
      b.poke64(AT.operand + 8, DATA);
      b.host(`66 0f 38 ${opcode} 04 25 00 c0 00 00`);
    };
  it('survive exit and entry with a VPID', () => {
    for (const move of [byGuest, byEpt]) {
      assert.equal(
        reread(move, () => {}),
        0xcafen,
      );
      const { walks } = bench.cpu.mmu;
      bench.set('GUEST_RIP', AT.guestCode);
      bench.resume();
      assert.equal(bench.cpu.mmu.walks, walks, 'a round trip refills nothing');
    }
  });
  it('go without a VPID, at exit and entry; guest-physical ones stay', () => {
    for (const [move, value] of [
      [byGuest, 0xbeefn],
      [byEpt, 0xcafen],
    ] as const) {
      withEpt().set('SECONDARY_VM_EXEC_CONTROL', SECONDARY.ENABLE_EPT);
      assert.equal(
        rereadFrom(move, () => {}),
        value,
      );
    }
  });
  it('go with INVEPT of their root or of all, not of another', () => {
    for (const move of [byGuest, byEpt]) {
      assert.equal(reread(move, execute('80', 1n, AT.ept | 0x1e)), 0xbeefn);
      assert.equal(reread(move, execute('80', 2n, 0)), 0xbeefn);
      assert.equal(reread(move, execute('80', 1n, AT.free | 0x1e)), 0xcafen);
    }
  });
  it('go with INVVPID of their VPID; guest-physical ones stay', () => {
    for (const type of [0n, 1n, 2n, 3n]) {
      assert.equal(reread(byGuest, execute('81', type, 1)), 0xbeefn, `type ${type}`);
      assert.equal(reread(byEpt, execute('81', type, 1)), 0xcafen, `type ${type}`);
    }
    assert.equal(reread(byGuest, execute('81', 1n, 2)), 0xcafen);
  });
  it('are not another VPID’s', () => {
    assert.equal(
      reread(byGuest, (b) => void b.set('VIRTUAL_PROCESSOR_ID', 2)),
      0xbeefn,
    );
  });
});

describe('the APIC-access page', () => {
  it('is found through EPT, wherever the guest has it', () => {
    withEpt().secondary(SECONDARY.VIRTUALIZE_APIC_ACCESSES);
    entry(AT.apicAccess | 0x37);
    assert.equal(bench.launch(LOAD), 'APIC_ACCESS');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 8);
  });
});
