// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0, CR4 } from '../register-bits.ts';
import { RAX, RBX, RCX, RDX, STATE } from '../state.ts';
import { SystemBench } from './system-bench.test.ts';

const AREA = 0x9000;
const XSAVE = '0f ae 23';
const XRSTOR = '0f ae 2b';
const XSAVEOPT = '0f ae 33';
const XSAVEC = '0f c7 23';
const XSAVES = '0f c7 2b';
const XRSTORS = '0f c7 1b';
const FXSAVE = '0f ae 03';
const FXSAVE64 = '48 0f ae 03';
const FXRSTOR64 = '48 0f ae 0b';

/** RBX at the area, EDX:EAX asks for everything, XCR0 = 3, and a recognizable x87 and SSE state. */
function filled(): SystemBench {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  ask(bench, -1);
  cpu.set32(STATE.xcr0, 3);
  fill(bench);
  return bench;
}

function ask(bench: SystemBench, mask: number, area = AREA): void {
  bench.cpu.setReg64(RBX, BigInt(area));
  bench.cpu.setReg32(RAX, mask);
  bench.cpu.setReg32(RDX, mask);
}

function fill({ cpu }: SystemBench): void {
  cpu.set32(STATE.fcw, 0x27f);
  // TOP = 6: ST(0) is R6.
  cpu.set32(STATE.fsw, 0x3000 | 0x41);
  cpu.set32(STATE.ftw, 0xc0);
  cpu.set32(STATE.fop, 0x1d8);
  cpu.set64(STATE.fip, 0x123456789abcn);
  cpu.set64(STATE.fdp, 0x7654321012345n);
  cpu.set32(STATE.mxcsr, 0x9fc0);
  for (let r = 0; r < 8; r++) for (let i = 0; i < 10; i++) cpu.bytes[STATE.x87 + r * 16 + i] = r * 16 + i;
  for (let i = 0; i < 256; i++) cpu.bytes[STATE.xmm + i] = 255 - i;
}

function image(bench: SystemBench, length = 576): Uint8Array {
  const host = bench.cpu.memory.host(AREA);
  return bench.cpu.memory.u8.slice(host, host + length);
}
const quad = (bytes: Uint8Array, at: number): bigint =>
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
const word = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

function stateOf({ cpu }: SystemBench): Uint8Array {
  // Between the control words and XMM0 lie fields of another kind.
  return cpu.bytes.slice(STATE.mxcsr, STATE.ymmHigh).fill(0, STATE.fds + 4 - STATE.mxcsr, STATE.xmm - STATE.mxcsr);
}

function put(bench: SystemBench, at: number, value: bigint): void {
  bench.cpu.memory.write(AREA + at, new Uint8Array(BigUint64Array.of(value).buffer));
}

test('FXSAVE64: stack order, abridged tags, 64-bit pointers, MXCSR_MASK; the last 96 bytes are left alone', () => {
  const bench = filled();
  bench.cpu.memory.write(AREA, new Uint8Array(512).fill(0xaa));
  assert.equal(bench.run(FXSAVE64), 'next');
  const bytes = image(bench, 512);
  assert.deepEqual([...bytes.subarray(0, 8)], [0x7f, 0x02, 0x41, 0x30, 0xc0, 0, 0xd8, 0x01]);
  assert.equal(quad(bytes, 8), 0x123456789abcn);
  assert.equal(quad(bytes, 16), 0x7654321012345n);
  assert.deepEqual([word(bytes, 24), word(bytes, 28)], [0x9fc0, 0xffff]);
  for (let i = 0; i < 8; i++) {
    assert.equal(bytes[32 + 16 * i], ((i + 6) & 7) * 16, `ST(${i})`);
    assert.deepEqual([...bytes.subarray(42 + 16 * i, 48 + 16 * i)], [0, 0, 0, 0, 0, 0]);
  }
  assert.equal(bytes[160], 255);
  assert.equal(bytes[415], 0);
  assert.ok(bytes.subarray(416).every((byte) => byte === 0xaa));
});

test('FXSAVE: 32-bit pointers with selectors; 8 XMM registers outside 64-bit mode', () => {
  const bench = filled();
  bench.cpu.set32(STATE.fcs, 0x33);
  assert.equal(bench.run(FXSAVE), 'next');
  assert.equal(quad(image(bench), 8), 0x33_56789abcn);
  bench.protected32();
  bench.cpu.memory.write(AREA, new Uint8Array(512).fill(0xaa));
  assert.equal(bench.run(FXSAVE), 'next');
  const bytes = image(bench);
  assert.equal(bytes[287], 255 - 127);
  assert.equal(bytes[288], 0xaa);
});

test('FXRSTOR is the inverse', () => {
  const bench = filled();
  const before = stateOf(bench);
  bench.run(FXSAVE64);
  bench.cpu.bytes.fill(0x55, STATE.xmm, STATE.ymmHigh);
  for (const field of [STATE.fcw, STATE.fsw, STATE.ftw, STATE.mxcsr]) bench.cpu.set32(field, 0);
  assert.equal(bench.run(FXRSTOR64), 'next');
  // The top 48 bits of a stack register's 16 bytes are no state.
  const after = stateOf(bench);
  for (let r = 0; r < 8; r++)
    after.fill(0, STATE.x87 - STATE.mxcsr + r * 16 + 10, STATE.x87 - STATE.mxcsr + r * 16 + 16);
  assert.deepEqual(after, before);
});

test('FXSAVE and FXRSTOR: alignment, CR0.TS and EM, MXCSR, page faults', () => {
  const bench = filled();
  const { cpu } = bench;
  ask(bench, -1, AREA + 8);
  assert.equal(bench.run(FXSAVE64), '#13(0)');
  ask(bench, -1);
  bench.run(FXSAVE64);
  put(bench, 24, 0x10000n);
  const before = stateOf(bench);
  assert.equal(bench.run(FXRSTOR64), '#13(0)');
  assert.deepEqual(stateOf(bench), before);
  ask(bench, -1, 0x1fff00);
  assert.equal(bench.run(FXSAVE64), '#14(2)', 'the second page is not there');
  for (const bit of [CR0.TS, CR0.EM]) {
    cpu.set32(STATE.cr0, cpu.cr0 | bit);
    assert.equal(bench.run(FXSAVE64), '#7');
    assert.equal(bench.run(FXRSTOR64), '#7');
    cpu.set32(STATE.cr0, cpu.cr0 & ~bit);
  }
});

test('an area across two pages', () => {
  const bench = filled();
  ask(bench, -1, 0x9f00);
  assert.equal(bench.run('48 0f ae 23'), 'next');
  const before = stateOf(bench);
  bench.cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 256);
  assert.equal(bench.run('48 0f ae 2b'), 'next');
  assert.deepEqual(stateOf(bench).subarray(STATE.xmm - STATE.mxcsr), before.subarray(STATE.xmm - STATE.mxcsr));
});

test('XSAVE: XSTATE_BV tells what is in use, keeps what was not asked for, leaves XCOMP_BV', () => {
  const bench = filled();
  const { cpu } = bench;
  put(bench, 512, 0xff00n);
  put(bench, 520, 0x1234n);
  assert.equal(bench.run(XSAVE), 'next');
  assert.equal(quad(image(bench), 512), 0xff03n);
  assert.equal(quad(image(bench), 520), 0x1234n);
  cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 256);
  put(bench, 160, 0x1111n);
  assert.equal(bench.run(XSAVE), 'next');
  assert.equal(quad(image(bench), 512), 0xff01n);
  assert.equal(quad(image(bench), 160), 0n, 'written although initial');
  ask(bench, 2);
  put(bench, 0, 0x2222n);
  assert.equal(bench.run(XSAVE), 'next');
  assert.equal(quad(image(bench), 0), 0x2222n, 'x87 was not asked for');
  assert.equal(word(image(bench), 24), 0x9fc0, 'MXCSR goes with SSE');
  assert.equal(quad(image(bench), 512), 0xff01n);
});

test('XSAVEOPT does not write initial components, but their bit', () => {
  const bench = filled();
  bench.cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 256);
  put(bench, 160, 0x1111n);
  put(bench, 512, 3n);
  assert.equal(bench.run(XSAVEOPT), 'next');
  assert.equal(quad(image(bench), 160), 0x1111n);
  assert.equal(quad(image(bench), 512), 1n);
  assert.equal(word(image(bench), 24), 0x9fc0);
});

test('XSAVEC: compacted header; MXCSR alone is SSE state', () => {
  const bench = filled();
  const { cpu } = bench;
  put(bench, 512, -1n & 0xffffffffffffffffn);
  put(bench, 528, 0x99n);
  assert.equal(bench.run(XSAVEC), 'next');
  assert.equal(quad(image(bench), 512), 3n);
  assert.equal(quad(image(bench), 520), 0x8000000000000003n);
  assert.equal(quad(image(bench), 528), 0x99n, 'the rest of the header is not written');
  cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 256);
  bench.run(XSAVEC);
  assert.equal(quad(image(bench), 512), 3n);
  cpu.set32(STATE.mxcsr, 0x1f80);
  put(bench, 24, 0x7777n);
  bench.run(XSAVEC);
  assert.equal(quad(image(bench), 512), 1n);
  assert.equal(quad(image(bench), 24), 0x7777n, 'neither MXCSR nor its mask');
  ask(bench, 1);
  bench.run(XSAVES);
  assert.equal(quad(image(bench), 520), 0x8000000000000001n);
});

for (const [save, restore] of [
  [XSAVE, XRSTOR],
  [XSAVEC, XRSTOR],
  [XSAVES, XRSTORS],
  [XSAVEOPT, XRSTOR],
] as const) {
  test(`${save} then ${restore} restores, or initializes what was initial`, () => {
    const bench = filled();
    const { cpu } = bench;
    cpu.set64(STATE.fip, 0x56789abcn);
    cpu.set64(STATE.fdp, 0x12345n);
    const before = stateOf(bench);
    assert.equal(bench.run(save), 'next');
    cpu.bytes.fill(0, STATE.mxcsr, STATE.ymmHigh);
    assert.equal(bench.run(restore), 'next');
    assert.deepEqual(stateOf(bench), before);
    cpu.bytes.fill(0, STATE.xmm, STATE.xmm + 256);
    cpu.set32(STATE.mxcsr, 0x1f80);
    bench.run(save);
    fill(bench);
    assert.equal(bench.run(restore), 'next');
    assert.ok(cpu.bytes.subarray(STATE.xmm, STATE.xmm + 256).every((byte) => byte === 0));
    assert.equal(cpu.get32(STATE.mxcsr), 0x1f80);
    assert.equal(cpu.get32(STATE.fcw), 0x27f);
  });
}

test('XRSTOR of an empty header initializes everything asked for, but the standard form loads MXCSR', () => {
  const bench = filled();
  const { cpu } = bench;
  cpu.memory.write(AREA, new Uint8Array(576));
  put(bench, 24, 0x1fa0n);
  assert.equal(bench.run(XRSTOR), 'next');
  assert.deepEqual(
    [cpu.get32(STATE.fcw), cpu.get32(STATE.fsw), cpu.get32(STATE.ftw), cpu.get32(STATE.mxcsr)],
    [0x37f, 0, 0, 0x1fa0],
  );
  assert.ok(cpu.bytes.subarray(STATE.xmm, STATE.ymmHigh).every((byte) => byte === 0));
  fill(bench);
  ask(bench, 1);
  assert.equal(bench.run(XRSTOR), 'next');
  assert.equal(cpu.get32(STATE.mxcsr), 0x9fc0, 'SSE was not asked for');
});

test('headers that are refused', () => {
  const bench = filled();
  bench.run(XSAVE);
  const before = stateOf(bench);
  const refused = (restore: string, ...parts: readonly (readonly [at: number, value: bigint])[]): void => {
    for (const at of [512, 520, 528, 536, 568]) put(bench, at, 0n);
    for (const [at, value] of parts) put(bench, at, value);
    assert.equal(
      bench.run(restore),
      '#13(0)',
      JSON.stringify(parts, (_, value: unknown) => (typeof value === 'bigint' ? value.toString(16) : value)),
    );
    assert.deepEqual(stateOf(bench), before);
  };
  const compacted = 1n << 63n;
  refused(XRSTOR, [512, 4n]);
  refused(XRSTOR, [512, 1n << 40n]);
  refused(XRSTOR, [520, 1n]);
  refused(XRSTOR, [528, 1n]);
  refused(XRSTOR, [512, 3n], [520, compacted | 1n]);
  refused(XRSTOR, [520, compacted | 4n]);
  refused(XRSTOR, [520, compacted | 3n], [528, 1n]);
  refused(XRSTOR, [520, compacted | 3n], [568, 1n]);
  refused(XRSTORS, [512, 3n]);
  refused(XRSTOR, [512, 3n], [24, 0xffff0000n]);
  put(bench, 24, 0x1f80n);
  put(bench, 536, 7n);
  assert.equal(bench.run(XRSTOR), 'next', 'software may use the rest of a standard header');
});

test('XSAVE needs CR4.OSXSAVE, no CR0.TS and 64-byte alignment', () => {
  const bench = filled();
  const { cpu } = bench;
  ask(bench, -1, AREA + 16);
  for (const instruction of [XSAVE, XRSTOR, XSAVEC, XSAVES, XRSTORS, XSAVEOPT])
    assert.equal(bench.run(instruction), '#13(0)', instruction);
  ask(bench, -1);
  cpu.set32(STATE.cr0, cpu.cr0 | CR0.TS);
  for (const instruction of [XSAVE, XRSTOR, XSAVEC, XSAVES, XRSTORS, XSAVEOPT])
    assert.equal(bench.run(instruction), '#7', instruction);
  cpu.set32(STATE.cr4, cpu.cr4 & ~CR4.OSXSAVE);
  for (const instruction of [XSAVE, XRSTOR, XSAVEC, XSAVES, XRSTORS, XSAVEOPT, '0f 01 d0', '0f 01 d1'])
    assert.equal(bench.run(instruction), '#6', instruction);
});

test('XSETBV and XGETBV', () => {
  const bench = new SystemBench().long();
  const { cpu } = bench;
  const set = (value: bigint, index = 0): string => {
    cpu.setReg64(RAX, value & 0xffffffffn);
    cpu.setReg64(RDX, value >> 32n);
    cpu.setReg64(RCX, BigInt(index));
    return bench.run('0f 01 d1');
  };
  assert.equal(set(3n), 'next');
  for (const bad of [0n, 2n, 5n, 7n, 1n << 63n]) assert.equal(set(bad | (bad >> 63n)), '#13(0)', bad.toString(16));
  assert.equal(set(1n, 1), '#13(0)');
  assert.equal(cpu.get64(STATE.xcr0), 3n);
  const get = (index: number): string => {
    cpu.setReg64(RCX, BigInt(index));
    return bench.run('0f 01 d0');
  };
  assert.equal(get(0), 'next');
  assert.deepEqual([cpu.reg64(RAX), cpu.reg64(RDX)], [3n, 0n]);
  cpu.bytes[STATE.xmm + 3] = 1;
  cpu.set32(STATE.fcw, 0x37f);
  cpu.set32(STATE.ftw, 0);
  assert.equal(get(1), 'next');
  assert.equal(cpu.reg64(RAX), 2n);
  assert.equal(get(2), '#13(0)');
  assert.equal(bench.atCpl(3).run('0f 01 d1'), '#13(0)');
});

test('LDMXCSR and STMXCSR', () => {
  const bench = filled();
  const { cpu } = bench;
  assert.equal(bench.run('0f ae 1b'), 'next');
  assert.equal(word(image(bench), 0), 0x9fc0);
  put(bench, 0, 0x1f80n);
  assert.equal(bench.run('0f ae 13'), 'next');
  assert.equal(cpu.get32(STATE.mxcsr), 0x1f80);
  put(bench, 0, 0x11f80n);
  assert.equal(bench.run('0f ae 13'), '#13(0)');
});
