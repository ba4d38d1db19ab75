// SPDX-License-Identifier: Apache-2.0
import { next16, next32, next8, signed16, signed8 } from './byte-reader.ts';
import { BASE_RIP } from './instruction.ts';
import type { CodeSize, Instruction, MemoryOperand } from './instruction.ts';
import { RexBit } from './rex.ts';

const SS = 2;
const DS = 3;

/** No registers, no displacement, and the segment of implicit operands. */
export function resetMemory(out: Instruction): void {
  const memory = out.memory;
  memory.base = -1;
  memory.index = -1;
  memory.scale = 0;
  memory.displacementLow = 0;
  memory.displacementHigh = 0;
  memory.segment = out.segmentOverride >= 0 ? out.segmentOverride : DS;
}

/** SIB and displacement of an operand in memory, after ModRM. */
export function readMemory(out: Instruction, codeSize: CodeSize): void {
  const memory = out.memory;
  if (out.addressSize === 16) readMemory16(out, memory);
  else readMemory32(out, memory, codeSize);
  memory.displacementHigh = memory.displacementLow >> 31;
  if (out.segmentOverride < 0 && (memory.base === 4 || memory.base === 5)) memory.segment = SS;
}

// Registers by ModRM.rm: BX+SI, BX+DI, BP+SI, BP+DI, SI, DI, BP, BX.
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, -1, -1, -1, -1];

/** See: SDM Table 2-1 16-Bit Addressing Forms with the ModR/M Byte. */
function readMemory16(out: Instruction, memory: MemoryOperand): void {
  const absolute = out.mod === 0 && out.rm === 6;
  memory.base = absolute ? -1 : BASE16[out.rm];
  memory.index = INDEX16[out.rm];
  if (out.mod === 1) memory.displacementLow = signed8(next8());
  else if (out.mod === 2 || absolute) memory.displacementLow = signed16(next16());
}

/** See: SDM Table 2-2 32-Bit Addressing Forms with the ModR/M Byte; 2.2.1.6 RIP-Relative Addressing. */
function readMemory32(out: Instruction, memory: MemoryOperand, codeSize: CodeSize): void {
  const low = out.rm === 4 ? readSib(out, memory) : out.rm;
  if (out.mod === 0 && low === 5) {
    memory.base = codeSize === 64 && out.rm === 5 ? BASE_RIP : -1;
    memory.displacementLow = next32();
    return;
  }
  memory.base = low | ((out.rex & RexBit.B) << 3);
  if (out.mod === 1) memory.displacementLow = signed8(next8());
  else if (out.mod === 2) memory.displacementLow = next32();
}

/** Gives the base's low three bits. See: SDM Table 2-3 32-Bit Addressing Forms with the SIB Byte. */
function readSib(out: Instruction, memory: MemoryOperand): number {
  const sib = next8();
  const index = ((sib >> 3) & 7) | ((out.rex & RexBit.X) << 2);
  if (index !== 4) {
    memory.index = index;
    memory.scale = sib >> 6;
  }
  return sib & 7;
}
