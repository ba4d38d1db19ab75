// SPDX-License-Identifier: Apache-2.0
import { Addressing } from '../../../arch/instructions/operand-notation.ts';
import type { OpcodeRow } from '../../../arch/instructions/row.ts';
import { opcodeTable } from '../../../arch/instructions/table.ts';
import { BASE_RIP, OperandKind } from '../../../decode/instruction.ts';
import type { Instruction, MemoryOperand } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { MODE } from '../mode.ts';
import { CR0, RFLAGS } from '../register-bits.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { CS, DS, FS, SEGMENT, SS, STATE, segmentOffset } from '../state.ts';
import { RIGHTS } from './descriptors.ts';
import { VECTOR } from './exceptions.ts';

const CANONICAL_END = 0x800000000000;

/** Whether a signed Number is a canonical linear address. Rounding above 2^53 cannot make a wrong one pass. */
export function canonical(address: number): boolean {
  return address >= -CANONICAL_END && address < CANONICAL_END;
}

/** Records the fault of a reference through a segment: #SS(0) for the stack, #GP(0) otherwise. */
function segmentFault(cpu: Processor, segment: number): number {
  cpu.fault(segment === SS ? VECTOR.SS : VECTOR.GP, 0);
  return NaN;
}

/** See: SDM 5.3 Limit Checking. `rights` in the VMCS layout; `offset` unsigned. */
export function insideLimit(rights: number, limit: number, offset: number, size: number): boolean {
  const last = offset + size - 1;
  if ((rights & 0x1c) !== RIGHTS.expandDownData) return last <= limit;
  return offset > limit && last <= (rights & RIGHTS.big ? 0xffffffff : 0xffff);
}

/** See: SDM 5.4 Type Checking. */
function permits(rights: number, write: boolean): boolean {
  if (rights & RIGHTS.unusable) return false;
  return write ? (rights & 0xa) === 2 : (rights & 0xa) !== 8;
}

/**
 * Linear address of `size` bytes at an offset in a segment, after all checks the mode makes; NaN with the fault
 * recorded when one fails. The offset is unsigned outside 64-bit mode, a signed Number in it.
 */
export function segmentLinear(
  cpu: Processor,
  segment: number,
  offset: number,
  size: number,
  write: boolean,
): LinearAddress {
  const { words } = cpu;
  const mode = words[STATE.mode >> 2];
  if (mode & MODE.code64) return linear64(cpu, segment, offset, size);
  if (mode & MODE.flat && segment <= DS && segment !== CS && offset + size <= 0x100000000) return offset;
  const at = segmentOffset(segment);
  const rights = words[(at + SEGMENT.accessRights) >> 2];
  if ((mode & (MODE.real | MODE.virtual8086)) === 0 && !permits(rights, write)) return segmentFault(cpu, segment);
  if (!insideLimit(rights, words[(at + SEGMENT.limit) >> 2] >>> 0, offset, size)) return segmentFault(cpu, segment);
  return (words[(at + SEGMENT.base) >> 2] + offset) >>> 0;
}

function linear64(cpu: Processor, segment: number, offset: number, size: number): LinearAddress {
  const linear = segment >= FS ? offset + cpu.segmentBase(segment) : offset;
  return canonical(linear) && canonical(linear + size - 1) ? linear : segmentFault(cpu, segment);
}

/** #AC for user accesses of 2, 4 or 8 bytes that are not aligned; other sizes are the caller's. */
export function alignmentFault(cpu: Processor, linear: LinearAddress, size: number): boolean {
  if (cpu.cpl !== 3 || (cpu.words[STATE.flagsOther >> 2] & RFLAGS.AC) === 0 || (cpu.cr0 & CR0.AM) === 0) return false;
  if ((size !== 2 && size !== 4 && size !== 8) || (linear & (size - 1)) === 0) return false;
  cpu.fault(VECTOR.AC, 0);
  return true;
}

/**
 * The offset of the memory operand in its segment, cut to the address size: unsigned for 16 and 32 bits, signed for 64
 * (there rounded above 2^53, which no canonical address is). RIP-relative operands need `cpu.rip` at the next instruction.
 */
export function effectiveOffset(cpu: Processor, instruction: Instruction): number {
  const { memory, addressSize } = instruction;
  const { words } = cpu;
  if (words[STATE.mode >> 2] & MODE.code64) return effectiveOffset64(cpu, memory, addressSize);
  let offset = memory.displacementLow;
  if (memory.base >= 0) offset += words[memory.base * 2];
  if (memory.index >= 0) offset += words[memory.index * 2] << memory.scale;
  return addressSize === 16 ? offset & 0xffff : offset >>> 0;
}

function effectiveOffset64(cpu: Processor, memory: MemoryOperand, addressSize: number): number {
  const { words } = cpu;
  const { base, index, scale } = memory;
  let low = memory.displacementLow >>> 0;
  let high = memory.displacementHigh;
  if (base >= 0) {
    const at = base === BASE_RIP ? STATE.rip >> 2 : base * 2;
    low += words[at] >>> 0;
    high += words[at + 1];
  }
  if (index >= 0) {
    const indexLow = words[index * 2];
    low += (indexLow << scale) >>> 0;
    high += (words[index * 2 + 1] << scale) | (scale === 0 ? 0 : indexLow >>> (32 - scale));
  }
  if (addressSize === 32) return low >>> 0;
  return ((high + Math.floor(low / 0x100000000)) | 0) * 0x100000000 + (low >>> 0);
}

/** Linear address of the memory operand for an access of `size` bytes; NaN with the fault recorded. */
export function operandLinear(cpu: Processor, instruction: Instruction, size: number, write: boolean): LinearAddress {
  const linear = segmentLinear(cpu, instruction.memory.segment, effectiveOffset(cpu, instruction), size, write);
  return alignmentFault(cpu, linear, size) ? NaN : linear;
}

/** What an instruction does with its memory operand, by opcode number. */
const INTENT = { read: 0, write: 1, offsetOnly: 2 } as const;

/** Mnemonics whose first operand, when in memory, is only read. */
const READS_FIRST =
  /^(CMP|TEST|BT|I?MUL|I?DIV|CALL|JMP|PUSH|NOP|PREFETCH\w+|VER[RW]|LLDT|LTR|L[GI]DT|LMSW|INVLPG|CLFLUSH(OPT)?|CLWB|XRSTORS?|VMPTRLD|VMCLEAR|VMXON|LDMXCSR|F(?!N?ST|IST|BST|NSAVE|XSAVE)\w+)$/;
const IN_MEMORY: ReadonlySet<number> = new Set([Addressing.E, Addressing.M, Addressing.O, Addressing.Q, Addressing.W]);

function intentOf(row: OpcodeRow): number {
  if (row.mnemonic === 'LEA') return INTENT.offsetOnly;
  const first = row.operands[0];
  return first !== undefined && IN_MEMORY.has(first.addressing) && !READS_FIRST.test(row.mnemonic)
    ? INTENT.write
    : INTENT.read;
}

const intents = Uint8Array.from(opcodeTable, intentOf);

/** Bytes of the memory operand; at least one, so that operands without a size are checked as a byte. */
function operandBytes(instruction: Instruction): number {
  const { operands } = instruction;
  const operand =
    operands[0].kind === OperandKind.MEMORY
      ? operands[0]
      : operands[1].kind === OperandKind.MEMORY
        ? operands[1]
        : operands[2];
  return operand.kind === OperandKind.MEMORY && operand.size >= 8 ? operand.size >> 3 : 1;
}

const bitStrings = Uint8Array.from(opcodeTable, (row) => (/^BT[CRS]?$/.test(row.mnemonic) ? 1 : 0));

/**
 * How many bytes beyond its operand BT, BTS, BTR or BTC with a register reaches: the operation adds it, so that it must
 * be in what is checked here. 0 in 64-bit code, where every access is checked by itself.
 */
function bitStringDistance(cpu: Processor, instruction: Instruction): number {
  const { kind, register, size } = instruction.operands[1];
  if (kind !== OperandKind.GENERAL || cpu.code64) return 0;
  return size === 16 ? ((cpu.reg16(register) << 16) >> 20) << 1 : (cpu.words[register * 2] >> 5) << 2;
}

/** Leaves the linear address of the memory operand in STATE.linear (LEA: the offset). Returns 0, or STATUS.fault. */
export function addressRecord(cpu: Processor, instruction: Instruction): number {
  const intent = intents[instruction.opcode.id];
  const offset = effectiveOffset(cpu, instruction);
  if (intent === INTENT.offsetOnly) {
    cpu.setSigned(STATE.linear, offset);
    return 0;
  }
  const beyond = bitStrings[instruction.opcode.id] === 0 ? 0 : bitStringDistance(cpu, instruction);
  const reached =
    beyond === 0 ? offset : instruction.addressSize === 16 ? (offset + beyond) & 0xffff : (offset + beyond) >>> 0;
  const bytes = operandBytes(instruction);
  const linear = segmentLinear(cpu, instruction.memory.segment, reached, bytes, intent === INTENT.write);
  if (cpu.faulted) return STATUS.fault;
  cpu.setSigned(STATE.linear, linear - beyond);
  return 0;
}
