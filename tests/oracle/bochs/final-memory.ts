// SPDX-License-Identifier: Apache-2.0
// An image to its end, on our machine and in Bochs: the low 256 KBytes, where its tables, stacks and results are.
import { basename } from 'node:path';
import { SteppedMachine } from '../machine-adapter.ts';
import { ENTRY, assembleImage } from '../qemu/qemu.ts';
import { runInBochs } from './bochs.ts';

const BYTES = 0x40000;
const MOST_TICKS = 200_000;
const SECONDS = 60;
/** The richest that Bochs 2.7 has: SMEP and SMAP are in it. */
const MODEL = 'corei7_skylake_x';
// prettier-ignore
const ZEROED = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'cs', 'ss', 'ds', 'es'] as const;

interface Allowed {
  readonly file: string;
  readonly why: string;
  readonly when: (ours: number, theirs: number, address: number) => boolean;
}

const RF = 0x10000;
/** The page of protection.asm's small stack, and what it notes of DR6. */
const SMALL_STACK = 0x1000;

// prettier-ignore
const ALLOWED: readonly Allowed[] = [
  { file: 'long.asm',       why: 'RF pushed for a double fault, which is no fault (SDM 18.3.1.1 Instruction-Breakpoint Exception Condition)', when: (ours, theirs) => (ours ^ theirs) === RF },
  { file: 'tasks.asm',      why: 'the same, saved into the TSS',                                     when: (ours, theirs) => (ours ^ theirs) === RF },
  { file: 'protection.asm', why: 'PUSHA and ENTER that are refused: Bochs has written below the stack', when: (_, __, address) => address >>> 4 === SMALL_STACK >>> 4 },
  { file: 'protection.asm', why: 'Bochs clears B0 of DR6 when B1 comes (SDM 18.2.3 Debug Status Register (DR6): may be cleared)', when: (ours, theirs) => (ours & ~3) === (theirs & ~3) && ours === (0xffff0ff3 | 0) },
];

export interface FinalMemory {
  readonly allowed: ReadonlySet<string>;
  readonly differences: readonly string[];
}

export async function compareFinalMemory(source: string): Promise<FinalMemory> {
  const file = basename(source);
  const image = assembleImage(source);
  const { memory, stopAt } = ourEnd(image);
  const [theirs] = await runInBochs({
    image,
    stopAt,
    read: [{ address: 0, bytes: BYTES }],
    seconds: SECONDS,
    model: MODEL,
  });
  const allowed = new Set<string>();
  const differences: string[] = [];
  for (let address = 0; address < BYTES; address += 4) {
    const [a, b] = [memory.readInt32LE(address), theirs.readInt32LE(address)];
    if (a === b) continue;
    const row = ALLOWED.find((each) => each.file === file && each.when(a, b, address));
    if (row !== undefined) allowed.add(row.why);
    else differences.push(`${address.toString(16)}: ${(a >>> 0).toString(16)}, theirs ${(b >>> 0).toString(16)}`);
  }
  return { allowed, differences };
}

/** Runs to `jmp $` or HLT; the linear address of that instruction. */
function ourEnd(image: Uint8Array): { memory: Buffer; stopAt: number } {
  const stepped = new SteppedMachine();
  stepped.load(ENTRY, image);
  stepped.setRegisters(new Map([...ZEROED.map((name) => [name, 0n] as const), ['rip', BigInt(ENTRY)] as const]));
  const { kind } = stepped.machine.run(MOST_TICKS);
  const registers = stepped.getRegisters();
  const { cpu } = stepped.machine.processors[0];
  const base = cpu.realMode ? Number(registers.get('cs')) * 16 : 0;
  const memory = Buffer.alloc(BYTES);
  stepped.machine.memory.read(0, memory);
  return { memory, stopAt: base + Number(registers.get('rip')) - (kind === 'idle' ? 1 : 0) };
}
