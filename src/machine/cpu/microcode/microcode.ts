// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import type { Processor } from '../processor.ts';

/**
 * An instruction as a routine over the state block: everything that is not a described operation. It is called with
 * `cpu.rip` already at the next instruction, and returns one of STATUS: `next` when it completed (RIP changed or not),
 * `fault` when it recorded a fault and committed nothing, `exit` when the run loop must look (HLT, a VM exit, shutdown).
 */
export type Microcode = (cpu: Processor, instruction: Instruction) => number;

/** Routines by `MNEMONIC operands` (as the opcode row writes them) or, for all its forms, by `MNEMONIC`. */
export type MicrocodeRoutines = Readonly<Record<string, Microcode>>;
