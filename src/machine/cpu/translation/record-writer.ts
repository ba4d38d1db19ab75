// SPDX-License-Identifier: Apache-2.0
import { BASE_RIP, OperandKind } from '../../../decode/instruction.ts';
import type { Instruction, Operand } from '../../../decode/instruction.ts';
import type { Memory } from '../../memory/memory.ts';
import { HANDLER, NEVER_LINKED, RECORD } from '../interpreter/record.ts';
import { MODE } from '../mode.ts';
import { FS, SEGMENT, SS, STATE, generalOffset, segmentOffset } from '../state.ts';

const SLOTS = [RECORD.operand0, RECORD.operand1, RECORD.operand2] as const;

/** Fills 64-byte records from decoded instructions. */
export class RecordWriter {
  /** Address of the record being written. */
  at = 0;
  private readonly words: Int32Array;

  constructor(memory: Memory) {
    this.words = memory.i32;
  }

  set(field: number, value: number): void {
    this.words[(this.at + field) >> 2] = value;
  }
  set64(field: number, low: number, high: number): void {
    this.words[(this.at + field) >> 2] = low;
    this.words[((this.at + field) >> 2) + 1] = high;
  }

  /** The fields every record has. Offsets are from the start of the instruction's page. */
  begin(handler: number, ripOffset: number, length: number): void {
    const first = this.at >> 2;
    for (let i = first; i < first + RECORD.size / 4; i++) this.words[i] = 0;
    this.set(RECORD.handler, handler);
    this.set(RECORD.ripOffset, ripOffset);
    this.set(RECORD.nextOffset, ripOffset + length);
    this.set(RECORD.base, STATE.zero);
    this.set(RECORD.index, STATE.zero);
    this.set(RECORD.segmentBase, STATE.zero);
  }

  operands(instruction: Instruction): void {
    for (let i = 0; i < instruction.operandCount; i++) this.operand(instruction.operands[i], SLOTS[i]);
    this.set64(RECORD.immediate, instruction.immediateLow, instruction.immediateHigh);
  }

  private operand(operand: Operand, slot: number): void {
    if (slot === undefined) return;
    if (operand.kind === OperandKind.GENERAL) this.set(slot, generalOffset(operand.register, operand.high8));
    if (operand.kind === OperandKind.XMM) this.set(slot, STATE.xmm + operand.register * 16);
    if (operand.kind === OperandKind.MMX) this.set(slot, STATE.x87 + operand.register * 16);
  }

  /** base + index << scale + displacement (+ FS or GS base), as the operand is written in the instruction. */
  flatAddress(instruction: Instruction, nextOffset: number): void {
    const { memory } = instruction;
    let low = memory.displacementLow;
    let high = memory.displacementHigh;
    if (memory.base === BASE_RIP) {
      this.set(RECORD.base, STATE.ripBase);
      const sum = (low >>> 0) + nextOffset;
      high = (high + (sum > 0xffffffff ? 1 : 0)) | 0;
      low = sum | 0;
    } else if (memory.base >= 0) this.set(RECORD.base, generalOffset(memory.base));
    if (memory.index >= 0) this.set(RECORD.index, generalOffset(memory.index));
    this.set(RECORD.scale, memory.scale);
    this.set64(RECORD.displacement, low, high);
    if (instruction.opcode.mnemonic === 'LEA') return;
    if (memory.segment >= FS) this.set(RECORD.segmentBase, segmentOffset(memory.segment) + SEGMENT.base);
    else if (memory.segment === SS) this.set(RECORD.segmentBase, STATE.zeroStack);
  }

  /** The operand's address was left in the state block by an address record. */
  preparedAddress(): void {
    this.set(RECORD.base, STATE.linear);
  }

  /** Where a branch goes, from ripBase, and which of its two sides may be linked. */
  branch(target: number, takenInPage: boolean, nextInPage: boolean): void {
    this.set64(RECORD.displacement, target, Math.floor(target / 0x100000000));
    this.set(RECORD.operand0, takenInPage ? 0 : NEVER_LINKED);
    this.set(RECORD.operand1, nextInPage ? 0 : NEVER_LINKED);
  }
}

const BIT_STRINGS = /^BT[CRS]?$/;

/** How a memory operand's address is made in this mode. */
export function addressHandler(instruction: Instruction, mode: number): number {
  if (instruction.opcode.mnemonic === 'LEA' && instruction.addressSize === 32) return HANDLER.address32;
  if (mode & MODE.code64) {
    if (instruction.addressSize === 64) return -1;
    return instruction.memory.segment >= FS ? HANDLER.address : HANDLER.address32;
  }
  // A register's bit offset reaches beyond the operand, and the sum is cut to the address size: microcode knows how.
  if (BIT_STRINGS.test(instruction.opcode.mnemonic) && instruction.operands[1].kind === OperandKind.GENERAL)
    return HANDLER.address;
  return mode & MODE.flat && instruction.addressSize === 32 && instruction.memory.segment < FS
    ? HANDLER.address32
    : HANDLER.address;
}
