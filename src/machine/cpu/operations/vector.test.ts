// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OpcodeRow } from '../../../arch/instructions/row.ts';
import { mmxRows } from '../../../arch/instructions/mmx.ts';
import { sseRows } from '../../../arch/instructions/sse.ts';
import { sse4Rows } from '../../../arch/instructions/sse4.ts';
import { DecodeStatus, decode } from '../../../decode/decoder.ts';
import { Instruction } from '../../../decode/instruction.ts';
import type { CodeSize } from '../../../decode/instruction.ts';
import { Memory } from '../../memory/memory.ts';
import { JIT_DEFAULT, Jit } from '../jit/jit.ts';
import { Engine } from '../interpreter/engine.ts';
import { interpreterOf } from '../interpreter/module.ts';
import { STATUS } from '../interpreter/record.ts';
import { MASKED_MOVE_MICROCODE } from '../microcode/masked-move.ts';
import { Routines } from '../microcode/routines.ts';
import { STRING_COMPARE_MICROCODE } from '../microcode/string-compare.ts';
import { MODE } from '../mode.ts';
import { Processor } from '../processor.ts';
import { CR0, CR4 } from '../register-bits.ts';
import { isSseFloat } from '../sse-float/table.ts';
import { CS, DS, ES, FS, GS, RDI, SS, STATE } from '../state.ts';
import { matchForm } from '../translation/signature.ts';
import { Translator } from '../translation/translator.ts';

const memory = new Memory(1, 4 << 20, 0xb0000000);
const modules = interpreterOf(0, memory.layout.codeTable);
const microcode = { ...STRING_COMPARE_MICROCODE, ...MASKED_MOVE_MICROCODE };

// --- every row has a meaning -------------------------------------------------------------------------------------

const PREFIXES: Readonly<Record<number, readonly number[]>> = { 0: [], 1: [0x66], 2: [0xf3], 3: [0xf2] };
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** Encodings of a row: with a register and with memory, and with REX.W where there is one. */
function encodings(row: OpcodeRow, codeSize: CodeSize): number[][] {
  const rex = codeSize === 64 ? [[], [0x48]] : [[]];
  const modrm = [0xc1, 0x01]
    .filter((byte) => row.mod === 'any' || (row.mod === 'register') === byte > 0xbf)
    .map((byte) => byte | (Math.max(row.digit, 0) << 3));
  return rex.flatMap((w) =>
    (row.hasModrm ? modrm : [undefined]).map((byte) => [
      ...PREFIXES[Math.max(row.mandatoryPrefix, 0)],
      ...w,
      ...MAPS[row.map],
      row.opcode,
      ...(byte === undefined ? [] : [byte]),
      0x1b,
      0,
      0,
      0,
      0,
    ]),
  );
}

function isMeaningful(instruction: Instruction, codeSize: CodeSize): boolean {
  const { mnemonic } = instruction.opcode;
  if (isSseFloat(mnemonic) || mnemonic === 'LDMXCSR' || mnemonic === 'STMXCSR' || mnemonic in microcode) return true;
  return (
    matchForm(modules.places, instruction, codeSize === 64 ? MODE.code64 | MODE.flat : MODE.code32 | MODE.flat) !==
    undefined
  );
}

describe('every MMX and SSE instruction that is no floating-point arithmetic is a described operation', () => {
  for (const codeSize of [32, 64] as const) {
    test(`in ${codeSize}-bit code`, () => {
      const without = new Set<string>();
      let decoded = 0;
      for (const row of [...mmxRows, ...sseRows, ...sse4Rows]) {
        for (const bytes of encodings(row, codeSize)) {
          const instruction = new Instruction();
          if (decode(Uint8Array.from(bytes), 0, bytes.length, codeSize, instruction) !== DecodeStatus.OK) continue;
          assert.equal(instruction.opcode.encoding, row.encoding);
          decoded++;
          if (!isMeaningful(instruction, codeSize))
            without.add(`${instruction.opcode.mnemonic} ${instruction.opcode.operandText}`);
        }
      }
      assert.ok(decoded > 500);
      assert.deepEqual([...without], []);
    });
  }
});

// --- what no other processor was asked: 32-bit code without paging -------------------------------------------------

const unclaimed = { readMemory: () => 0xff, writeMemory: () => {}, readPort: () => 0xff, writePort: () => {} };
const CODE = 0x10000;
const DATA = 0x20000;

function machine() {
  const cpu = new Processor(0, memory, unclaimed);
  const routines = new Routines([microcode]);
  const features = { has: () => true } as unknown as ReadonlySet<string>;
  const translator = new Translator(memory, modules.places, routines, features, (host) =>
    cpu.mmu.buffers.dropWriteTags(host),
  );
  cpu.mmu.codePages = translator.store.codePages;
  const jit = new Jit(JIT_DEFAULT.mode, memory, translator, modules.places);
  const engine = new Engine(cpu, translator, modules, routines.list, () => STATUS.exit, jit);
  cpu.set32(STATE.cr0, CR0.PE | CR0.MP | CR0.NE | CR0.ET);
  cpu.set32(STATE.cr4, CR4.OSFXSR);
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b);
  for (const segment of [SS, DS, ES, FS, GS]) cpu.setSegment(segment, 0x10, 0, 0xffffffff, 0xc093);
  cpu.modeChanged();
  cpu.mmu.pagingChanged();
  return { cpu, engine };
}

const { cpu, engine } = machine();

/** Runs one instruction; the vector of its fault, or undefined. */
function run(...bytes: number[]): number | undefined {
  memory.write(CODE, Uint8Array.from(bytes));
  cpu.rip = CODE;
  cpu.faulted = false;
  cpu.words[STATE.mode >> 2] |= MODE.single;
  cpu.words[STATE.remaining >> 2] = 1;
  engine.run();
  return cpu.faulted ? cpu.faultVector : undefined;
}

function mmx(register: number): bigint {
  return cpu.view.getBigUint64(STATE.x87 + register * 16, true);
}
function setMmx(register: number, value: bigint): void {
  cpu.view.setBigUint64(STATE.x87 + register * 16, value, true);
}

describe('MMX state', () => {
  test('an instruction sets TOP and tags, a write the exponent', () => {
    cpu.set32(STATE.fsw, 0x3800);
    cpu.set32(STATE.ftw, 0);
    cpu.view.setUint16(STATE.x87 + 24, 0, true);
    setMmx(1, 0x0102_0304_0506_0708n);
    setMmx(2, 0x1010_1010_1010_10f8n);
    assert.equal(run(0x0f, 0xfc, 0xca), undefined); // PADDB mm1, mm2
    assert.equal(mmx(1), 0x1112_1314_1516_1700n);
    assert.equal(cpu.view.getUint16(STATE.x87 + 24, true), 0xffff);
    assert.equal(cpu.get32(STATE.fsw), 0);
    assert.equal(cpu.get32(STATE.ftw), 0xff);
  });

  test('a pending x87 exception comes first, and nothing has changed', () => {
    cpu.set32(STATE.fsw, 0x3881);
    setMmx(1, 5n);
    assert.equal(run(0x0f, 0xef, 0xc9), 16); // PXOR mm1, mm1
    assert.equal(run(0x0f, 0xf7, 0xc9), 16); // MASKMOVQ mm1, mm1
    assert.equal(run(0x0f, 0x77), 16); // EMMS
    assert.equal(mmx(1), 5n);
    assert.equal(cpu.get32(STATE.fsw), 0x3881);
    cpu.set32(STATE.fsw, 0);
  });

  test('MASKMOVQ stores the chosen bytes only', () => {
    memory.write(DATA, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    cpu.setReg32(RDI, DATA);
    setMmx(1, 0x8877_6655_4433_2211n);
    setMmx(2, 0x80ff_0000_7f00_0080n);
    assert.equal(run(0x0f, 0xf7, 0xca), undefined);
    const bytes = new Uint8Array(8);
    memory.read(DATA, bytes);
    assert.deepEqual([...bytes], [0x11, 2, 3, 4, 5, 6, 0x77, 0x88]);
  });
});

describe('16-byte memory operands', () => {
  const at = (address: number): number[] => [0x05, address & 0xff, (address >> 8) & 0xff, (address >> 16) & 0xff, 0];

  test('must be aligned, before anything happens', () => {
    cpu.bytes.fill(0x55, STATE.xmm, STATE.xmm + 16);
    assert.equal(run(0x0f, 0x28, ...at(DATA + 8)), 13); // MOVAPS xmm0, [DATA + 8]
    assert.equal(run(0x66, 0x0f, 0xef, ...at(DATA + 1)), 13); // PXOR xmm0, [DATA + 1]
    assert.equal(run(0x0f, 0x2b, ...at(DATA + 4)), 13); // MOVNTPS [DATA + 4], xmm0
    assert.equal(cpu.faultErrorCode, 0);
    assert.ok(cpu.bytes.subarray(STATE.xmm, STATE.xmm + 16).every((byte) => byte === 0x55));
  });

  test('need not be for MOVUPS, LDDQU and the string comparisons', () => {
    assert.equal(run(0x0f, 0x11, ...at(DATA + 3)), undefined);
    assert.equal(run(0xf2, 0x0f, 0xf0, ...at(DATA + 3)), undefined);
    assert.equal(run(0x66, 0x0f, 0x3a, 0x63, ...at(DATA + 3), 0x08), undefined); // PCMPISTRI
    assert.equal(cpu.reg32(1), 0);
  });
});
