// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeStatus, decode } from '../../../decode/decoder.ts';
import { Instruction } from '../../../decode/instruction.ts';
import { NO_CONTEXT } from '../../memory/layout.ts';
import { Memory } from '../../memory/memory.ts';
import { CLASS } from '../../mmu/walk.ts';
import { Engine } from '../interpreter/engine.ts';
import { interpreterOf } from '../interpreter/module.ts';
import { STATUS } from '../interpreter/record.ts';
import { Jit } from '../jit/jit.ts';
import { INTERRUPT_FLAG_MICROCODE } from '../microcode/interrupt-flag.ts';
import { STACK_MICROCODE } from '../microcode/stack.ts';
import { SYSCALL_MICROCODE } from '../microcode/syscall.ts';
import { Routines } from '../microcode/routines.ts';
import { MODE } from '../mode.ts';
import { CR0, CR4, EFER, Processor, RFLAGS } from '../processor.ts';
import { ATTENTION, CS, DS, ES, FS, GS, RCX, RSP, SEGMENT, SS, STATE, segmentOffset } from '../state.ts';
import { Translator } from '../translation/translator.ts';
import { SUPERVISOR_CLASS, SUPERVISOR_SMAP_CLASS, USER_CLASS } from './system-calls.ts';

const STATES = 2500;
const R11 = 11;
const AT = { pml4: 0x1000, pdpt: 0x2000, directory: 0x3000, code: 0x10000, stack: 0x30000 } as const;
const INSTRUCTIONS: Readonly<Record<string, readonly number[]>> = {
  SYSCALL: [0x0f, 0x05],
  SYSRET: [0x48, 0x0f, 0x07],
  SWAPGS: [0x0f, 0x01, 0xf8],
  CLI: [0xfa],
  STI: [0xfb],
  PUSHF: [0x9c],
  STAC: [0x0f, 0x01, 0xcb],
  CLAC: [0x0f, 0x01, 0xca],
};
const MICROCODE = { ...SYSCALL_MICROCODE, ...INTERRUPT_FLAG_MICROCODE, ...STACK_MICROCODE };

/** What of the state block is the engine's own affair, or is compared as the flags that it stands for. */
// prettier-ignore
const OWN = new Set<number>([
  STATE.ripBase, STATE.flagResult, STATE.flagResult + 4, STATE.flagCarry, STATE.remaining, STATE.record, STATE.linear,
  STATE.linear + 4, STATE.regionFlagKind, STATE.regionFlagA, STATE.regionFlagA + 4, STATE.regionFlagB,
  STATE.regionFlagB + 4, STATE.sample, STATE.ripBase + 4, STATE.afterAccess, STATE.ticksAtEnd, STATE.ticksAtEnd + 4, STATE.stiTick, STATE.stiTick + 4,
]);

let seed = 1;
function below(n: number): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % n;
}
const oneIn = (n: number): boolean => below(n) === 0;
const random64 = (): bigint => (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32));

function makeProcessor(): Processor {
  const memory = new Memory(1, 4 << 20, 0xb0000000);
  const nowhere = { readMemory: () => 0xff, writeMemory: () => {}, readPort: () => 0xff, writePort: () => {} };
  const cpu = new Processor(0, memory, nowhere);
  const entry = (address: number, value: number): void => memory.view.setUint32(memory.host(address), value, true);
  entry(AT.pml4, AT.pdpt | 7);
  entry(AT.pdpt, AT.directory | 7);
  entry(AT.directory, 0x87);
  return cpu;
}

/** The same random state, at a place in a page of code, for any number of processors: common things often, everything sometimes. */
function randomState(cpus: readonly Processor[], page: number): void {
  const level = oneIn(3) ? 3 : 0;
  const cr0 = CR0.PE | CR0.ET | CR0.NE | CR0.PG | (oneIn(2) ? CR0.AM : 0);
  const cr4 = CR4.PAE | CR4.OSFXSR | (oneIn(2) ? CR4.SMAP : 0) | (oneIn(8) ? CR4.PVI : 0) | (oneIn(4) ? CR4.PGE : 0);
  const efer = EFER.LME | EFER.LMA | (oneIn(8) ? 0 : EFER.SCE);
  const flags = randomFlags();
  const general = Array.from({ length: 16 }, random64);
  general[RCX] = oneIn(3) ? general[RCX] : BigInt.asUintN(64, BigInt.asIntN(48, general[RCX]));
  general[R11] = oneIn(3) ? general[R11] : BigInt(randomFlags());
  if (!oneIn(8)) general[RSP] = BigInt(AT.stack + (oneIn(4) ? 0x1000 + below(16) - 8 : below(0x100) * 16));
  const [star, lstar, fmask, kernelGsBase, gsBase] = Array.from({ length: 5 }, random64);
  const [noEventWaits, interruptibility, dr7] = [
    below(2),
    oneIn(4) ? below(4) : 0,
    oneIn(6) ? 0xd0001 : oneIn(6) ? 1 : 0,
  ];
  const rip = page + below(16) * 0x47;
  for (const cpu of cpus) {
    cpu.bytes.fill(0, 0, STATE.size);
    cpu.set32(STATE.cr0, cr0);
    cpu.set32(STATE.cr4, cr4);
    cpu.set32(STATE.efer, efer);
    cpu.set64(STATE.cr3, BigInt(AT.pml4));
    cpu.set32(STATE.cpl, level);
    cpu.setSegment(CS, 0x30 | level, 0, 0xffffffff, level === 3 ? 0xa0fb : 0xa09b);
    for (const segment of [SS, DS, ES, FS, GS])
      cpu.setSegment(segment, 0x28, 0, 0xffffffff, level === 3 ? 0xc0f3 : 0xc093);
    cpu.set64(segmentOffset(GS) + SEGMENT.base, gsBase);
    general.forEach((value, i) => cpu.setReg64(i, value));
    for (const [field, value] of [['star', star], ['lstar', lstar], ['fmask', fmask], ['kernelGsBase', kernelGsBase]] as const) cpu.set64(STATE[field], value); // prettier-ignore
    cpu.set32(STATE.noEventWaits, noEventWaits);
    cpu.set32(STATE.interruptibility, interruptibility);
    cpu.set64(STATE.dr7, BigInt(dr7));
    cpu.set64(STATE.dr0, BigInt(AT.stack));
    cpu.rflags = flags;
    cpu.rip = rip;
    cpu.faulted = false;
    cpu.faultVector = cpu.faultErrorCode = 0;
    cpu.breakpoints.clear();
    cpu.words[STATE.mode >> 2] = MODE.single;
    cpu.modeChanged();
    cpu.mmu.pagingChanged();
  }
}

/** Virtual-8086 mode is not of this world; everything else that RFLAGS may hold. */
function randomFlags(): number {
  const rare = [RFLAGS.TF, RFLAGS.RF, RFLAGS.AC, RFLAGS.NT, RFLAGS.DF].reduce(
    (sum, bit) => sum | (oneIn(8) ? bit : 0),
    0,
  );
  return 2 | rare | (below(0x1000) & 0x8d5) | (below(2) * RFLAGS.IF) | (oneIn(4) ? below(4) << 12 : 0);
}

/** An engine in which the routines are counted, and a processor without one that runs the routine itself. */
class Pair {
  readonly compiled = makeProcessor();
  readonly microcoded = makeProcessor();
  /** How often the engine asked microcode. */
  asked = 0;
  readonly jit: Jit;
  private readonly engine: Engine;

  constructor(mode: 'off' | 'eager') {
    const { compiled: cpu } = this;
    const { memory } = cpu;
    const counted = Object.entries(MICROCODE).map(([name, routine]) => [
      name,
      (...args: Parameters<typeof routine>) => (this.asked++, routine(...args)),
    ]);
    const routines = new Routines([Object.fromEntries(counted)]);
    const modules = interpreterOf(0, memory.layout.codeTable);
    const features = { has: () => true } as unknown as ReadonlySet<string>;
    const translator = new Translator(memory, modules.places, routines, features, (host) =>
      cpu.mmu.buffers.dropWriteTags(host),
    );
    cpu.mmu.codePages = translator.store.codePages;
    this.jit = new Jit(mode, memory, translator, modules.places);
    this.engine = new Engine(cpu, translator, modules, routines.list, () => STATUS.exit, this.jit);
  }

  /** One instruction at RIP by the engine. */
  runCompiled(bytes: readonly number[], budget = 1): void {
    const { compiled: cpu } = this;
    const there = new Uint8Array(bytes.length);
    cpu.memory.read(cpu.rip, there);
    if (there.some((byte, i) => byte !== bytes[i])) cpu.memory.write(cpu.rip, Uint8Array.from(bytes));
    cpu.runEnd = budget;
    cpu.words[STATE.remaining >> 2] = budget;
    this.engine.run();
    cpu.words[STATE.record >> 2] = 0;
  }

  /** The same by its routine: what the engine does around it, as the manual has it. */
  runMicrocode(name: string, bytes: readonly number[]): void {
    const { microcoded: cpu } = this;
    const instruction = new Instruction();
    assert.equal(decode(Uint8Array.from(bytes), 0, bytes.length, 64, instruction), DecodeStatus.OK);
    const begin = cpu.rip;
    cpu.rip = begin + bytes.length;
    const refused = instruction.opcode.privileged && cpu.cpl !== 0;
    const status = refused ? cpu.generalProtection() : MICROCODE[name](cpu, instruction);
    if (status === STATUS.fault) cpu.rip = begin;
  }

  /** Whether no access of compiled code finds a translation, so that everything is the slow path's. */
  get withoutContext(): boolean {
    return this.microcoded.words[STATE.dataContext >> 2] === NO_CONTEXT;
  }
}

/** State by offset, so that a failure names the field's place in state.ts; then what is not in the block. */
function observed(cpu: Processor): Record<string, unknown> {
  const state: Record<string, unknown> = { flags: cpu.arithmeticFlags, hits: cpu.breakpoints.hits };
  if (cpu.faulted) state['fault'] = [cpu.faultVector, cpu.faultErrorCode];
  for (let at = 0; at < STATE.size; at += 4)
    if (!OWN.has(at) && cpu.words[at >> 2] !== 0) state[`+${at.toString(16)}`] = cpu.words[at >> 2];
  return state;
}
function stackOf({ memory }: Processor): Buffer {
  return Buffer.from(memory.buffer, memory.host(AT.stack - 16), 0x1030);
}

/** Flags that ask for microcode: TF RF AC. */
const PLAIN = ~(RFLAGS.TF | RFLAGS.RF | RFLAGS.AC);
/** States of software as it is: there microcode must not be asked. */
function isCommon(name: string, cpu: Processor): boolean {
  const flags = cpu.words[STATE.flagsOther >> 2];
  if (cpu.words[STATE.dataContext >> 2] === NO_CONTEXT) return false;
  if (name === 'SYSCALL') return (cpu.efer & EFER.SCE) !== 0 && (flags & ~PLAIN) === 0;
  if (name === 'PUSHF') return true;
  if (cpu.cpl !== 0) return false;
  // The budget of one ends with it, where a shadow would show.
  if (name === 'STI') return (flags & RFLAGS.IF) !== 0;
  if (name === 'STAC' || name === 'CLAC') return (cpu.cr4 & CR4.SMAP) !== 0;
  if (name !== 'SYSRET') return true;
  const target = cpu.reg64(RCX);
  const opens = (cpu.reg32(R11) & RFLAGS.IF) !== 0 && cpu.words[STATE.noEventWaits >> 2] === 0;
  const isCanonical = BigInt.asUintN(64, BigInt.asIntN(48, target)) === target;
  return (cpu.efer & EFER.SCE) !== 0 && isCanonical && !opens && (cpu.reg32(R11) & (~PLAIN | RFLAGS.VM)) === 0;
}

describe('system instructions as operations do what their microcode does', () => {
  for (const mode of ['off', 'eager'] as const) {
    const pair = new Pair(mode);
    for (const [place, [name, bytes]] of Object.entries(INSTRUCTIONS).entries()) {
      const page = AT.code + place * 0x1000;
      test(`${name}, ${STATES} states${mode === 'eager' ? ', compiled' : ''}`, () => {
        const seen = { common: 0, rare: 0, faults: 0, levels: new Set<number>(), withoutContext: 0 };
        for (let i = 0; i < STATES; i++) {
          randomState([pair.compiled, pair.microcoded], page);
          const common = isCommon(name, pair.microcoded);
          if (pair.withoutContext) seen.withoutContext++;
          seen.levels.add(pair.microcoded.cpl);
          pair.asked = 0;
          pair.runCompiled(bytes);
          pair.runMicrocode(name, bytes);
          assert.deepEqual(observed(pair.compiled), observed(pair.microcoded), `state ${i}`);
          assert.ok(stackOf(pair.compiled).equals(stackOf(pair.microcoded)), `state ${i}: the stack`);
          if (common) assert.equal(pair.asked, 0, `state ${i}: microcode was not needed`);
          seen[common ? 'common' : 'rare']++;
          if (pair.microcoded.faulted) seen.faults++;
        }
        assert.ok(seen.common > STATES / 10, `common states: ${seen.common}`);
        assert.ok(seen.rare > STATES / 10, `others: ${seen.rare}`);
        assert.ok(seen.withoutContext > STATES / 20, `without a context: ${seen.withoutContext}`);
        assert.ok(seen.faults > STATES / 50, `faults: ${seen.faults}`);
        assert.deepEqual(
          [...seen.levels].sort((a, b) => a - b),
          [0, 3],
        );
        assert.equal(pair.jit.counts.regions > 0, mode === 'eager');
      });
    }
  }

  for (const mode of ['off', 'eager'] as const) {
    test(`STI casts a shadow only where somebody could tell, ${mode}`, () => {
      for (const [nonRoot, noEventWaits, shadow] of [
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 0],
      ]) {
        const pair = new Pair(mode);
        const { compiled: cpu } = pair;
        randomState([cpu, pair.microcoded], 2);
        cpu.words[STATE.cpl >> 2] = 0;
        cpu.words[STATE.attention >> 2] = cpu.words[STATE.interruptibility >> 2] = 0;
        cpu.rflags = 2;
        cpu.words[STATE.nonRoot >> 2] = nonRoot;
        cpu.words[STATE.noEventWaits >> 2] = noEventWaits;
        cpu.mmu.contextChanged();
        pair.asked = 0;
        pair.runCompiled([0xfb, 0xf4], 2);
        assert.equal(cpu.words[STATE.interruptibility >> 2] & 1, shadow);
        assert.equal((cpu.words[STATE.attention >> 2] & ATTENTION.shadow) !== 0, shadow === 1);
        assert.notEqual(cpu.rflags & RFLAGS.IF, 0);
        assert.equal(pair.asked, shadow, 'microcode casts the shadow');
      }
    });
  }

  test('access classes are those of the MMU', () => {
    assert.deepEqual(
      [SUPERVISOR_CLASS, SUPERVISOR_SMAP_CLASS, USER_CLASS],
      [CLASS.supervisor, CLASS.supervisorSmap, CLASS.user],
    );
  });
});
