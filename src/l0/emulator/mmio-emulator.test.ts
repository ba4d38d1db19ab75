// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BINARY, FLAG, UNARY } from './arithmetic.ts';
import { CODE, DEVICE, Fixture, PAGE_TABLES, PROTECTED_ENTRY } from '../l0-fixture.testing.ts';

const [RAX, RCX, RDX, RBX, RSI, RDI] = [0, 1, 2, 3, 6, 7];
const RAM = 0x300000n;
const { CF, PF, AF, ZF, SF, OF } = FLAG;
const AT = BigInt(DEVICE);

interface Row {
  /** Intel syntax; RBX is the device's address. */
  readonly text: string;
  readonly code: readonly number[];
  /** Registers before, besides RBX. */
  readonly before?: { readonly [register: number]: bigint };
  /** The device's first bytes, before and after; after: only if they change. */
  readonly device: readonly number[];
  readonly after?: readonly number[];
  /** Registers after that differ from before. */
  readonly registers?: { readonly [register: number]: bigint };
  /** Status flags after; undefined: as before (all set). */
  readonly flags?: number;
  readonly log: readonly string[];
}

const ALL = CF | PF | AF | ZF | SF | OF;
// prettier-ignore
const ROWS: readonly Row[] = [
  { text: 'mov eax, [rbx]',             code: [0x8b, 0x03],                   before: { [RAX]: -1n },         device: [1, 2, 3, 0x84], registers: { [RAX]: 0x84030201n },           log: ['read 0 4'] },
  { text: 'mov al, [rbx+1]',            code: [0x8a, 0x43, 0x01],             before: { [RAX]: 0x1122n },     device: [1, 0xff],       registers: { [RAX]: 0x11ffn },               log: ['read 1 1'] },
  { text: 'mov ah, [rbx]',              code: [0x8a, 0x23],                   before: { [RAX]: 0x1122n },     device: [0x77],          registers: { [RAX]: 0x7722n },               log: ['read 0 1'] },
  { text: 'mov ax, [rbx]',              code: [0x66, 0x8b, 0x03],             before: { [RAX]: -1n },         device: [1, 2],          registers: { [RAX]: 0xffffffffffff0201n },   log: ['read 0 2'] },
  { text: 'mov rax, [rbx]',             code: [0x48, 0x8b, 0x03],                                             device: [1, 2, 3, 4, 5, 6, 7, 8], registers: { [RAX]: 0x0807060504030201n }, log: ['read 0 4', 'read 4 4'] },
  { text: 'mov eax, [moffs]',           code: [0xa1, 0x04, 0, 0, 0xd0, 0, 0, 0, 0],                           device: [0, 0, 0, 0, 9], registers: { [RAX]: 9n },                    log: ['read 4 4'] },
  { text: 'mov [rbx+rcx*4+8], edx',     code: [0x89, 0x54, 0x8b, 0x08],       before: { [RCX]: -1n, [RDX]: 0x1234567890n }, device: [0], after: [0, 0, 0, 0, 0x90, 0x78, 0x56, 0x34], log: ['write 4 4 34567890'] },
  { text: 'mov [rbx], dh',              code: [0x88, 0x33],                   before: { [RDX]: 0xab00n },     device: [0],             after: [0xab],                               log: ['write 0 1 ab'] },
  { text: 'mov byte [rbx], 5',          code: [0xc6, 0x03, 0x05],                                             device: [0],             after: [5],                                  log: ['write 0 1 5'] },
  { text: 'mov qword [rbx], -2',        code: [0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff],                     device: [0],             after: [0xfe, 255, 255, 255, 255, 255, 255, 255], log: ['write 0 4 fffffffe', 'write 4 4 ffffffff'] },
  { text: 'movzx eax, byte [rbx]',      code: [0x0f, 0xb6, 0x03],             before: { [RAX]: -1n },         device: [0x80],          registers: { [RAX]: 0x80n },                 log: ['read 0 1'] },
  { text: 'movzx rax, word [rbx]',      code: [0x48, 0x0f, 0xb7, 0x03],       before: { [RAX]: -1n },         device: [1, 0x80],       registers: { [RAX]: 0x8001n },               log: ['read 0 2'] },
  { text: 'movsx eax, byte [rbx]',      code: [0x0f, 0xbe, 0x03],                                             device: [0x80],          registers: { [RAX]: 0xffffff80n },           log: ['read 0 1'] },
  { text: 'movsxd rax, dword [rbx]',    code: [0x48, 0x63, 0x03],                                             device: [0, 0, 0, 0x80], registers: { [RAX]: 0xffffffff80000000n },   log: ['read 0 4'] },
  { text: 'movbe eax, [rbx]',           code: [0x0f, 0x38, 0xf0, 0x03],                                       device: [1, 2, 3, 4],    registers: { [RAX]: 0x01020304n },           log: ['read 0 4'] },
  { text: 'movnti [rbx], eax',          code: [0x0f, 0xc3, 0x03],             before: { [RAX]: 3n },          device: [0],             after: [3],                                  log: ['write 0 4 3'] },
  { text: 'add [rbx], eax',             code: [0x01, 0x03],                   before: { [RAX]: 1n },          device: [255, 255, 255, 0x7f], after: [0, 0, 0, 0x80], flags: PF | AF | SF | OF, log: ['read 0 4', 'write 0 4 80000000'] },
  { text: 'adc eax, [rbx]',             code: [0x13, 0x03],                   before: { [RAX]: 0xffffffffn }, device: [0],             registers: { [RAX]: 0n }, flags: CF | PF | AF | ZF, log: ['read 0 4'] },
  { text: 'sub byte [rbx], 1',          code: [0x80, 0x2b, 0x01],                                             device: [0],             after: [255], flags: CF | PF | AF | SF,      log: ['read 0 1', 'write 0 1 ff'] },
  { text: 'sbb al, [rbx]',              code: [0x1a, 0x03],                   before: { [RAX]: 5n },          device: [4],             registers: { [RAX]: 0n }, flags: PF | ZF,    log: ['read 0 1'] },
  { text: 'and dword [rbx], 0xf0',      code: [0x81, 0x23, 0xf0, 0, 0, 0],                                    device: [0xff, 1],       after: [0xf0, 0], flags: PF,                 log: ['read 0 4', 'write 0 4 f0'] },
  { text: 'or dword [rbx], -128',       code: [0x83, 0x0b, 0x80],                                             device: [1],             after: [0x81, 255, 255, 255], flags: PF | SF, log: ['read 0 4', 'write 0 4 ffffff81'] },
  { text: 'xor [rbx], al',              code: [0x30, 0x03],                   before: { [RAX]: 0x55n },       device: [0x55],          after: [0], flags: PF | ZF,                  log: ['read 0 1', 'write 0 1 0'] },
  { text: 'lock or dword [rbx], 1',     code: [0xf0, 0x83, 0x0b, 0x01],                                       device: [2],             after: [3], flags: PF,                       log: ['read 0 4', 'write 0 4 3'] },
  { text: 'cmp dword [rbx], 5',         code: [0x83, 0x3b, 0x05],                                             device: [5],             flags: PF | ZF,                              log: ['read 0 4'] },
  { text: 'cmp eax, [rbx]',             code: [0x3b, 0x03],                   before: { [RAX]: 1n },          device: [2],             flags: CF | PF | AF | SF,                    log: ['read 0 4'] },
  { text: 'test byte [rbx], 0x20',      code: [0xf6, 0x03, 0x20],                                             device: [0x60],          flags: 0,                                    log: ['read 0 1'] },
  { text: 'inc dword [rbx]',            code: [0xff, 0x03],                                                   device: [255, 255, 255, 255], after: [0, 0, 0, 0], flags: CF | PF | AF | ZF, log: ['read 0 4', 'write 0 4 0'] },
  { text: 'dec byte [rbx]',             code: [0xfe, 0x0b],                                                   device: [0x80],          after: [0x7f], flags: CF | AF | OF,          log: ['read 0 1', 'write 0 1 7f'] },
  { text: 'not byte [rbx]',             code: [0xf6, 0x13],                                                   device: [0x0f],          after: [0xf0],                               log: ['read 0 1', 'write 0 1 f0'] },
  { text: 'neg word [rbx]',             code: [0x66, 0xf7, 0x1b],                                             device: [1, 0],          after: [255, 255], flags: CF | PF | AF | SF, log: ['read 0 2', 'write 0 2 ffff'] },
  { text: 'xchg [rbx], eax',            code: [0x87, 0x03],                   before: { [RAX]: 7n },          device: [9],             after: [7], registers: { [RAX]: 9n },        log: ['read 0 4', 'write 0 4 7'] },
  { text: 'xadd [rbx], eax',            code: [0x0f, 0xc1, 0x03],             before: { [RAX]: 1n },          device: [2],             after: [3], registers: { [RAX]: 2n }, flags: PF, log: ['read 0 4', 'write 0 4 3'] },
  { text: 'cmpxchg [rbx], edx (equal)', code: [0x0f, 0xb1, 0x13],             before: { [RAX]: 2n, [RDX]: 6n }, device: [2],           after: [6], flags: PF | ZF,                  log: ['read 0 4', 'write 0 4 6'] },
  { text: 'cmpxchg [rbx], edx (not)',   code: [0x0f, 0xb1, 0x13],             before: { [RAX]: 1n, [RDX]: 6n }, device: [2],           registers: { [RAX]: 2n }, flags: CF | PF | AF | SF, log: ['read 0 4', 'write 0 4 2'] },
  { text: 'bt dword [rbx], 3',          code: [0x0f, 0xba, 0x23, 0x03],                                       device: [7],             flags: ALL & ~CF,                            log: ['read 0 4'] },
  { text: 'bts [rbx], ecx (far)',       code: [0x0f, 0xab, 0x0b],             before: { [RCX]: 33n },         device: [0, 0, 0, 0, 1], after: [0, 0, 0, 0, 3], flags: ALL & ~CF,    log: ['read 4 4', 'write 4 4 3'] },
  { text: 'btr qword [rbx], 0',         code: [0x48, 0x0f, 0xba, 0x33, 0x00],                                 device: [1],             after: [0],                                  log: ['read 0 4', 'read 4 4', 'write 0 4 0', 'write 4 4 0'] },
  { text: 'btc word [rbx], 15',         code: [0x66, 0x0f, 0xba, 0x3b, 0x0f],                                 device: [0, 0],          after: [0, 0x80], flags: ALL & ~CF,          log: ['read 0 2', 'write 0 2 8000'] },
  { text: 'stosd',                      code: [0xab],                         before: { [RAX]: 5n, [RDI]: AT },  device: [0],          after: [5], registers: { [RDI]: AT + 4n },   log: ['write 0 4 5'] },
  { text: 'lodsb',                      code: [0xac],                         before: { [RSI]: AT },             device: [8],          registers: { [RAX]: 8n, [RSI]: AT + 1n },    log: ['read 0 1'] },
  { text: 'movsw to RAM',               code: [0x66, 0xa5],                   before: { [RSI]: AT, [RDI]: RAM }, device: [8, 9],       registers: { [RSI]: AT + 2n, [RDI]: RAM + 2n }, log: ['read 0 2'] },
  { text: 'scasb',                      code: [0xae],                         before: { [RAX]: 1n, [RDI]: AT },  device: [1],          registers: { [RDI]: AT + 1n }, flags: PF | ZF, log: ['read 0 1'] },
  { text: 'cmpsb',                      code: [0xa6],                         before: { [RSI]: AT, [RDI]: RAM }, device: [0],          registers: { [RSI]: AT + 1n, [RDI]: RAM + 1n }, flags: PF | ZF, log: ['read 0 1'] },
];

function violation(fixture: Fixture): void {
  fixture.exit('EPT_VIOLATION', { EXIT_QUALIFICATION: 0x181, GUEST_PHYSICAL_ADDRESS: DEVICE });
}

describe('instructions on device memory', () => {
  for (const row of ROWS) {
    it(row.text, () => {
      const fixture = new Fixture();
      const { processor, device, vcpu } = fixture;
      const before = { [RBX]: AT, ...row.before };
      for (const [register, value] of Object.entries(before)) processor.general[Number(register)] = value;
      vcpu.rflags |= ALL;
      device.bytes.set(row.device);
      fixture.put(CODE, row.code);
      violation(fixture);
      assert.equal(fixture.injected, undefined);
      assert.deepEqual(device.log, row.log);
      assert.deepEqual([...device.bytes.subarray(0, row.after?.length ?? 0)], [...(row.after ?? [])]);
      const expected = new BigUint64Array(16);
      for (const [register, value] of Object.entries({ ...before, ...row.registers }))
        expected[Number(register)] = value;
      assert.deepEqual(processor.general, expected);
      assert.equal(vcpu.rflags & ALL, row.flags ?? ALL);
      assert.deepEqual([vcpu.rip, processor.ticks], [CODE + row.code.length, 1]);
    });
  }

  it('an address relative to RIP, with a segment base, in the stack pointer', () => {
    const fixture = new Fixture();
    fixture.device.bytes.set([0x42], 0x10);
    fixture.put(CODE, [0x8b, 0x05, 0x0a, 0, 0, 0]); // mov eax, [rip+10]
    fixture.processor.set('GUEST_RIP', CODE);
    fixture.put(CODE + 6, [0x64, 0x8b, 0x0c, 0x24]); // mov ecx, fs:[rsp]
    fixture.processor.set('GUEST_FS_BASE', DEVICE);
    fixture.processor.set('GUEST_RSP', 0x10);
    fixture.put(CODE + 16, [7]);
    violation(fixture);
    violation(fixture);
    assert.deepEqual([fixture.processor.general[RAX], fixture.processor.general[RCX]], [7n, 0x42n]);
  });

  it('32-bit code: offsets wrap at 4 GiB and segments have bases', () => {
    const fixture = new Fixture('modern-1', { entry: PROTECTED_ENTRY });
    fixture.processor.set('GUEST_DS_BASE', 0xfffffff0);
    fixture.processor.general[RBX] = BigInt(DEVICE + 0x14);
    fixture.device.bytes[4] = 0x99;
    fixture.put(CODE, [0x8a, 0x03]); // mov al, [ebx]
    violation(fixture);
    assert.equal(fixture.processor.general[RAX], 0x99n);
  });

  it('REP goes on at the same instruction until rCX is 0, one iteration and one count for each exit', () => {
    const fixture = new Fixture();
    const { processor, vcpu } = fixture;
    [processor.general[RDI], processor.general[RCX], processor.general[RAX]] = [AT, 2n, 0xaan];
    fixture.put(CODE, [0xf3, 0xaa]);
    violation(fixture);
    assert.deepEqual([vcpu.rip, processor.general[RCX], processor.ticks], [CODE, 1n, 1]);
    violation(fixture);
    assert.deepEqual([vcpu.rip, processor.general[RCX], processor.ticks], [CODE + 2, 0n, 2]);
    assert.deepEqual(fixture.device.log, ['write 0 1 aa', 'write 1 1 aa']);
  });

  it('an access that faults does so before a device is read or written', () => {
    const fixture = new Fixture();
    fixture.put(PAGE_TABLES + 0x2000 + 8, [0]); // 2 MiB .. 4 MiB are not there
    [fixture.processor.general[RSI], fixture.processor.general[RDI]] = [AT, RAM];
    fixture.put(CODE, [0xa4]);
    violation(fixture);
    assert.deepEqual(fixture.injected, { vector: 14, type: 3, errorCode: 2 });
    assert.deepEqual([fixture.device.log, fixture.processor.unsaved.get('cr2'), fixture.vcpu.rip], [[], RAM, CODE]);
  });

  it('sets accessed and dirty flags where the processor would', () => {
    const fixture = new Fixture();
    [fixture.processor.general[RSI], fixture.processor.general[RDI]] = [AT, RAM];
    fixture.put(CODE, [0xa4]);
    violation(fixture);
    assert.equal(fixture.bytesAt(PAGE_TABLES + 0x2000 + 8, 1)[0], 0x83 | 0x60);
    assert.equal(fixture.bytesAt(PAGE_TABLES, 1)[0], 0x03 | 0x20);
  });

  it('bytes that are no instruction are #UD, and those that it cannot emulate as well, but counted', () => {
    const fixture = new Fixture();
    for (const undefined of [
      [0x0f, 0x0b],
      [0xff, 0xff],
    ]) {
      fixture.put(CODE, undefined);
      violation(fixture);
      assert.deepEqual(fixture.injected, { vector: 6, type: 3 });
    }
    assert.equal(fixture.l0.l1.unemulated.size, 0);
    fixture.put(CODE, [0x0f, 0x10, 0x03]); // movups xmm0, [rbx]
    fixture.processor.general[RBX] = AT;
    violation(fixture);
    assert.deepEqual(fixture.injected, { vector: 6, type: 3 });
    assert.deepEqual(fixture.l0.l1.unemulated.get('0f 10 03'), 1);
    assert.deepEqual(fixture.device.log, []);
  });

  it('code that has gone away is a page fault, whatever the processor remembers of it', () => {
    const fixture = new Fixture();
    fixture.put(PAGE_TABLES + 0x2000, [0]);
    violation(fixture);
    const fault = { vector: 14, type: 3, errorCode: 0 };
    assert.deepEqual([fixture.injected, fixture.vcpu.rip, fixture.processor.ticks], [fault, CODE, 1]);
    assert.equal(fixture.processor.unsaved.get('cr2'), BigInt(CODE));
  });
});

/** Adds bit by bit, as hardware does; the carries into and out of the top give CF and OF. */
function ripple(left: bigint, right: bigint, carry: number, bits: number): { result: bigint; flags: number } {
  let result = 0n;
  let into = carry;
  let out = carry;
  let half = 0;
  for (let i = 0; i < bits; i++) {
    const [a, b] = [Number((left >> BigInt(i)) & 1n), Number((right >> BigInt(i)) & 1n)];
    into = out;
    result |= BigInt(a ^ b ^ into) << BigInt(i);
    out = (a & b) | (a & into) | (b & into);
    if (i === 3) half = out;
  }
  const ones = (result & 0xffn).toString(2).replaceAll('0', '').length;
  const flags =
    (out ? CF : 0) |
    (ones % 2 === 0 ? PF : 0) |
    (half ? AF : 0) |
    (result === 0n ? ZF : 0) |
    ((result >> BigInt(bits - 1)) & 1n ? SF : 0) |
    (into !== out ? OF : 0);
  return { result, flags };
}

describe('arithmetic flags agree with an adder made of bits', () => {
  const widths = fc
    .constantFrom(8, 16, 32, 64)
    .chain((bits) =>
      fc.record({ bits: fc.constant(bits), left: edge(bits), right: edge(bits), before: fc.nat(0xfff) }),
    );

  it('ADD ADC SUB SBB INC DEC NEG', () => {
    fc.assert(
      fc.property(widths, ({ bits, left, right, before }) => {
        const not = (value: bigint): bigint => BigInt.asUintN(bits, ~value);
        // a - b - c is a + not b + not c, with carry and half carry inverted.
        const minus = (a: bigint, b: bigint, borrow: number) => {
          const { result, flags } = ripple(a, not(b), 1 - borrow, bits);
          return { result, flags: flags ^ CF ^ AF };
        };
        const carry = before & CF;
        const keep = ({ result, flags }: { result: bigint; flags: number }) => ({
          result,
          flags: (flags & ~CF) | carry,
        });
        assert.deepEqual(BINARY.ADD(left, right, bits, before), ripple(left, right, 0, bits));
        assert.deepEqual(BINARY.ADC(left, right, bits, before), ripple(left, right, carry, bits));
        assert.deepEqual(BINARY.SUB(left, right, bits, before), minus(left, right, 0));
        assert.deepEqual(BINARY.SBB(left, right, bits, before), minus(left, right, carry));
        assert.deepEqual(UNARY.INC(left, bits, before), keep(ripple(left, 1n, 0, bits)));
        assert.deepEqual(UNARY.DEC(left, bits, before), keep(minus(left, 1n, 0)));
        assert.deepEqual(UNARY.NEG(left, bits, before), minus(0n, left, 0));
      }),
      { numRuns: 3000, seed: 1 },
    );
  });
});

/** Values around the borders more often than in between. */
function edge(bits: number): fc.Arbitrary<bigint> {
  const top = 1n << BigInt(bits);
  return fc.oneof(fc.bigInt(0n, top - 1n), fc.constantFrom(0n, 1n, top - 1n, top >> 1n, (top >> 1n) - 1n, 0xfn, 0x10n));
}
