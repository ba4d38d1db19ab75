// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { SteppedMachine } from './machine-adapter.ts';
import { describeLockstep, lockstep, type MachineUnderTest, type Registers } from './qemu-lockstep.ts';
import { parseRegisters } from './qemu/gdb-client.ts';
import { assembleImage, Qemu, whyNoAssembler, whyNoQemu } from './qemu/qemu.ts';

const SOURCE = join(import.meta.dirname, 'qemu', 'modes.asm');

/** Images that our machine must walk through as QEMU does: file, QEMU's processor, steps at least. */
// prettier-ignore
const IMAGES: readonly [string, string, number][] = [
  ['real.asm',   'qemu64',                  300],
  ['modes.asm',  'qemu64',                  300],
  ['rings.asm',  'qemu64',                  700],
  ['tasks.asm',  'qemu64',                  200],
  ['paging.asm', 'max',                     2000],
  ['long.asm',   'max,vendor=GenuineIntel', 500],
];

/** A second QEMU in the machine's place; `change` may spoil what it says. */
function asMachine(
  qemu: Qemu,
  change: (registers: Map<string, bigint>, step: number) => void = () => {},
): MachineUnderTest {
  let step = 0;
  return {
    load: () => {},
    setRegisters: async (registers) => {
      for (const [name, value] of registers) if (name === 'eflags') await qemu.gdb.writeRegister(name, value);
    },
    getRegisters: async (): Promise<Registers> => {
      const registers = await qemu.gdb.readRegisters();
      change(registers, step);
      return registers;
    },
    step: async () => {
      step++;
      await qemu.gdb.step();
    },
  };
}

async function withTwo<T>(image: Uint8Array, use: (one: Qemu, other: Qemu) => Promise<T>): Promise<T> {
  const one = await Qemu.start(image);
  const other = await Qemu.start(image);
  try {
    return await use(one, other);
  } finally {
    one.stop();
    other.stop();
  }
}

describe('lock-step with QEMU', { skip: whyNoQemu() ?? whyNoAssembler() ?? false }, () => {
  test('the image walks through every mode to its end, and two QEMUs agree on each step', async () => {
    const image = assembleImage(SOURCE);
    const seen = new Set<string>();
    const result = await withTwo(image, (one, other) =>
      lockstep(
        one,
        image,
        asMachine(other, (registers) =>
          seen.add(`${registers.get('cs')} ${Number(registers.get('cr0')) & 1} ${registers.get('efer')}`),
        ),
      ),
    );
    assert.ok(result.kind === 'agreed' && result.finished, describeLockstep(result));
    assert.ok(result.steps > 300, `${result.steps} steps`);
    // prettier-ignore
    for (const mode of ['0 0 0', '0 1 0', '8 1 0', '8 1 3329', '24 1 3329', '51 1 3329']) assert.ok(seen.has(mode), `${mode} in ${[...seen].join(', ')}`);
  });

  test('the first difference stops it, with the instruction and both values', async () => {
    const image = Uint8Array.of(0x31, 0xc0, 0x40, 0x01, 0xc0, 0x90, 0xeb, 0xfe); // xor ax, ax; inc ax; add ax, ax; nop; jmp $
    const spoil = (registers: Map<string, bigint>, step: number): void => void (step === 3 && registers.set('rax', 5n));
    const result = await withTwo(image, (one, other) => lockstep(one, image, asMachine(other, spoil)));
    assert.equal(result.kind, 'differed');
    const text = describeLockstep(result);
    assert.match(text, /^step 3 differs: 0x7c03: 01 c0 {2}add ax,ax \(16-bit\)/);
    assert.match(text, /rax: was 0x1, QEMU has 0x2, the machine 0x5/);
  });

  test('a register the machine does not give is a difference', async () => {
    const image = Uint8Array.of(0x90, 0xeb, 0xfe);
    const hide = (registers: Map<string, bigint>): void => void registers.delete('cr3');
    const result = await withTwo(image, (one, other) => lockstep(one, image, asMachine(other, hide)));
    assert.match(describeLockstep(result), /cr3: .* does not say/);
  });

  test('an undefined flag is taken over, a defined one compared', async () => {
    const image = Uint8Array.of(0xb8, 3, 0, 0x0d, 0x10, 0, 0xeb, 0xfe); // mov ax, 3; or ax, 16 (AF undefined); jmp $
    const flip =
      (flag: bigint) =>
      (registers: Map<string, bigint>, step: number): void => {
        if (step === 2) registers.set('eflags', (registers.get('eflags') ?? 0n) ^ flag);
      };
    const taken = await withTwo(image, (one, other) => lockstep(one, image, asMachine(other, flip(0x10n))));
    assert.equal(taken.kind, 'agreed');
    const compared = await withTwo(image, (one, other) => lockstep(one, image, asMachine(other, flip(0x1n))));
    assert.match(describeLockstep(compared), /eflags: was 0x2, QEMU has 0x2, the machine 0x3/);
  });
});

describe('our machine in lock-step with QEMU', { skip: whyNoQemu() ?? whyNoAssembler() ?? false }, () => {
  for (const [file, cpu, atLeast] of IMAGES) {
    test(file, async () => {
      const image = assembleImage(join(import.meta.dirname, 'qemu', file));
      const qemu = await Qemu.start(image, cpu);
      try {
        const result = await lockstep(qemu, image, new SteppedMachine(), { limit: 10_000 });
        assert.ok(result.kind === 'agreed' && result.finished, describeLockstep(result));
        assert.ok(result.steps >= atLeast, `${result.steps} steps`);
      } finally {
        qemu.stop();
      }
    });
  }
});

describe('target descriptions', () => {
  test('registers stand in order, comments aside, numbered as told', () => {
    const registers = parseRegisters(
      '<reg name="a" bitsize="64"/><!-- <reg name="b" bitsize="64"/> --><reg name="c" bitsize="32" regnum="7"/><reg name="d" bitsize="80"/>',
    );
    assert.deepEqual(registers, [
      { name: 'a', number: 0, offset: 0, bytes: 8 },
      { name: 'c', number: 7, offset: 8, bytes: 4 },
      { name: 'd', number: 8, offset: 12, bytes: 10 },
    ]);
  });
});
