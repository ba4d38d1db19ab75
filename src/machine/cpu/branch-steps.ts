// SPDX-License-Identifier: Apache-2.0
// Single steps on branches: with IA32_DEBUGCTL.BTF, RFLAGS.TF traps only after instructions that branch.
// See: SDM 18.4.3 Single-Stepping on Branches

import { DecodeStatus, decode } from '../../decode/decoder.ts';
import { Instruction } from '../../decode/instruction.ts';
import type { Processor } from './processor.ts';
import { CS } from './state.ts';

const IA32_DEBUGCTL = 0x1d9;
const BTF = 2n;
const LONGEST = 15;
const PAGE_BYTES = 0x1000;
const CODE_32 = 0x4000;
/** Instructions that branch whatever their target; of conditional ones only those count that end somewhere else. */
const BRANCHES = /^(JMP|CALL|RET|IRET|SYSCALL|SYSRET|SYSENTER|SYSEXIT)/;

/** Whether single steps are on branches now. */
export function stepsBranches({ environment }: Processor): boolean {
  return (environment.msrs.get(IA32_DEBUGCTL) & BTF) !== 0n;
}

/** A debug exception has been generated: the flag is cleared. */
export function endBranchSteps(cpu: Processor): void {
  const { msrs } = cpu.environment;
  const control = msrs.get(IA32_DEBUGCTL);
  if ((control & BTF) !== 0n) msrs.set(IA32_DEBUGCTL, control & ~BTF);
}

/** Linear address of the next instruction. */
export function codeAddress(cpu: Processor): number {
  return cpu.code64 ? cpu.rip : (cpu.segmentBase(CS) + cpu.rip) % 0x1_0000_0000;
}

/** Whether the instruction that began at offset `from`, linear address `linear`, and has just been executed, branched. */
export function branched(cpu: Processor, from: number, linear: number): boolean {
  const { rip } = cpu;
  if (rip < from || rip > from + LONGEST) return true;
  const instruction = decodedAt(cpu, linear);
  if (instruction === undefined) return false;
  if (BRANCHES.test(instruction.opcode.mnemonic)) return true;
  // A string instruction that is repeated stays where it is.
  return rip !== from + instruction.length && (rip !== from || instruction.rep === 0);
}

/** What the processor has fetched there, by what it still knows of the page; undefined: nothing any more. */
function decodedAt(cpu: Processor, linear: number): Instruction | undefined {
  const bytes = new Uint8Array(LONGEST);
  let length = 0;
  while (length < LONGEST) {
    const host = cpu.mmu.fetched(linear + length);
    if (host === -1) break;
    const n = Math.min(LONGEST - length, PAGE_BYTES - ((linear + length) & (PAGE_BYTES - 1)));
    bytes.set(cpu.memory.u8.subarray(host, host + n), length);
    length += n;
  }
  const instruction = new Instruction();
  const size = cpu.code64 ? 64 : cpu.accessRights(CS) & CODE_32 ? 32 : 16;
  return decode(bytes, 0, length, size, instruction) === DecodeStatus.OK ? instruction : undefined;
}
