// SPDX-License-Identifier: Apache-2.0

import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';

import { hex, hexBytes } from '../../src/base/hex.ts';
import { ENTRY, type Qemu } from './qemu/qemu.ts';

/** Registers by the names of QEMU's target description: rax..r15 rip eflags cs ss ds es fs gs fs_base … cr0..cr8 efer st0 fctrl xmm0 mxcsr. */
export type Registers = ReadonlyMap<string, bigint>;

type Soon<T> = T | Promise<T>;

/**
 * A whole machine that steps. Real mode at reset but for what `setRegisters` says; RAM from 0, nothing else.
 * Registers are as QEMU shows them: outside 64-bit code the general ones are cut to 32 bits, and r8..r15 are 0.
 */
export interface MachineUnderTest {
  /** Puts an image into physical memory. */
  load(address: number, bytes: Uint8Array): Soon<void>;
  /** Sets some registers; segment selectors in real mode set their bases too. Others stay. */
  setRegisters(registers: Registers): Soon<void>;
  getRegisters(): Soon<Registers>;
  /** One instruction, or one iteration of a REP string instruction, or the delivery of the exception it raised. */
  step(): Soon<void>;
}

const GENERAL = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'eflags',
];
const SYSTEM = [
  'cs',
  'ss',
  'ds',
  'es',
  'fs',
  'gs',
  'fs_base',
  'gs_base',
  'k_gs_base',
  'cr0',
  'cr2',
  'cr3',
  'cr4',
  'cr8',
  'efer',
];
const VECTOR = ['mxcsr', ...Array.from({ length: 16 }, (_, n) => `xmm${n}`)];

export const COMPARED = [...GENERAL, ...SYSTEM, ...VECTOR];

/** RF: QEMU shows it where it pushed it; a processor clears it after the next instruction. */
const RESUME_FLAG = 0x10000n;

export type LockstepOptions = {
  /** Instructions at most. */
  readonly limit?: number;
  /** Names to compare; default COMPARED. */
  readonly names?: readonly string[];
};

export type RegisterDifference = {
  readonly name: string;
  readonly before: bigint;
  readonly expected: bigint;
  readonly got: bigint | undefined;
};

export type LockstepResult =
  /** The image came to its `jmp $`, or the limit was reached, with no difference. */
  | { readonly kind: 'agreed'; readonly steps: number; readonly finished: boolean }
  | {
      readonly kind: 'differed';
      /** Number of the step, from 1. */
      readonly steps: number;
      /** The instruction that was executed, with the registers before it. */
      readonly instruction: string;
      readonly before: Registers;
      readonly differences: readonly RegisterDifference[];
    };

/**
 * Steps QEMU and the machine from the image's entry, comparing after every instruction. Flags that an instruction leaves
 * undefined are taken over from QEMU instead of compared.
 */
export async function lockstep(
  qemu: Qemu,
  image: Uint8Array,
  machine: MachineUnderTest,
  options: LockstepOptions = {},
): Promise<LockstepResult> {
  const { limit = 100_000, names = COMPARED } = options;
  let before: Registers = await qemu.gdb.readRegisters();
  await machine.load(ENTRY, image);
  await machine.setRegisters(before);
  for (let steps = 1; steps <= limit; steps++) {
    const code = await codeAt(qemu, before);
    await qemu.gdb.step();
    await machine.step();
    const expected: Registers = await qemu.gdb.readRegisters();
    const got = await machine.getRegisters();
    const undefinedFlags = code.undefinedFlags;
    const differences = differ(names, before, expected, got, undefinedFlags);
    if (differences.length > 0) return { kind: 'differed', steps, instruction: code.text(), before, differences };
    if (undefinedFlags) await machine.setRegisters(new Map([['eflags', expected.get('eflags') as bigint]]));
    if (code.isEnd && sameRegisters(before, expected)) return { kind: 'agreed', steps, finished: true };
    before = expected;
  }
  return { kind: 'agreed', steps: limit, finished: false };
}

function differ(
  names: readonly string[],
  before: Registers,
  expected: Registers,
  got: Registers,
  undefinedFlags: bigint,
): RegisterDifference[] {
  return names.flatMap((name): RegisterDifference[] => {
    const want = expected.get(name) ?? 0n;
    const have = got.get(name);
    const ignored = name === 'eflags' ? undefinedFlags | RESUME_FLAG : 0n;
    if (have !== undefined && ((want ^ have) & ~ignored) === 0n) return [];
    return [{ name, before: before.get(name) ?? 0n, expected: want, got: have }];
  });
}

function sameRegisters(a: Registers, b: Registers): boolean {
  for (const [name, value] of a) if (b.get(name) !== value) return false;
  return true;
}

type Code = { readonly isEnd: boolean; readonly undefinedFlags: bigint; text(): string };

const LONGEST = 15;
const PAGE = 0x1000;

/** The next instruction. Its page may be absent (the step is then the fault), so bytes that cannot be read are left out. */
async function codeAt(qemu: Qemu, registers: Registers): Promise<Code> {
  const bits = await codeBits(qemu, registers);
  const rip = registers.get('rip') ?? 0n;
  const linear = bits === 16 && !isProtected(registers) ? ((registers.get('cs') ?? 0n) << 4n) + rip : rip;
  const bytes = await readCode(qemu, linear);
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  decoder.ip = rip;
  const instruction = decoder.decode();
  const undefinedFlags = rflagsOf(instruction.rflagsUndefined);
  const formatter = new Formatter(FormatterSyntax.Intel);
  const text = `${hex(linear)}: ${hexBytes(bytes.subarray(0, instruction.length))}  ${formatter.format(instruction)} (${bits}-bit)`;
  for (const resource of [instruction, decoder, formatter]) resource.free();
  return { isEnd: bytes[0] === 0xeb && bytes[1] === 0xfe, undefinedFlags, text: () => text };
}

async function readCode(qemu: Qemu, linear: bigint): Promise<Uint8Array> {
  const inPage = Math.min(LONGEST, PAGE - Number(linear & 0xfffn));
  for (const length of [LONGEST, inPage]) {
    const reply = await qemu.gdb.request(`m${linear.toString(16)},${length.toString(16)}`);
    if (!/^E..$/.test(reply)) return new Uint8Array(Buffer.from(reply, 'hex'));
  }
  return new Uint8Array();
}

const isProtected = (registers: Registers): boolean => ((registers.get('cr0') ?? 0n) & 1n) !== 0n;

const modes = new WeakMap<Qemu, { key: string; bits: number }>();

/** Asked of QEMU's monitor whenever CS, CR0 or EFER changed: the remote protocol has no descriptor caches. */
async function codeBits(qemu: Qemu, registers: Registers): Promise<number> {
  const key = ['cs', 'cr0', 'efer'].map((name) => registers.get(name)).join();
  const known = modes.get(qemu);
  if (known?.key === key) return known.bits;
  const bits = Number(/CS =.*CS(16|32|64)/.exec(await qemu.gdb.monitor('info registers'))?.[1] ?? 16);
  modes.set(qemu, { key, bits });
  return bits;
}

/** iced-x86 numbers the flags OF SF ZF AF CF PF from bit 0. */
function rflagsOf(bits: number): bigint {
  const flags = [0x800, 0x80, 0x40, 0x10, 0x1, 0x4];
  return BigInt(flags.reduce((sum, flag, n) => sum | ((bits >> n) & 1 ? flag : 0), 0));
}

/** The result for people. */
export function describeLockstep(result: LockstepResult): string {
  if (result.kind === 'agreed')
    return `${result.steps} steps agree${result.finished ? ', to the end of the image' : ''}`;
  const lines = [`step ${result.steps} differs: ${result.instruction}`];
  const show = (name: string): string => `${name} ${hex(result.before.get(name) ?? 0n)}`;
  for (let n = 0; n < GENERAL.length; n += 6)
    lines.push(
      `  before  ${GENERAL.slice(n, n + 6)
        .map(show)
        .join('  ')}`,
    );
  lines.push(`  before  ${SYSTEM.map(show).join('  ')}`);
  for (const { name, before, expected, got } of result.differences) {
    lines.push(
      `  ${name}: was ${hex(before)}, QEMU has ${hex(expected)}, the machine ${got === undefined ? 'does not say' : hex(got)}`,
    );
  }
  return lines.join('\n');
}
