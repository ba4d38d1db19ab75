// SPDX-License-Identifier: Apache-2.0
import { Addressing, VariableWidth, widthInBits } from '../arch/instructions/operand-notation.ts';
import type { OperandForm } from '../arch/instructions/operand-notation.ts';
import type { OpcodeRow } from '../arch/instructions/row.ts';
import { next16, next32, next8, signed16, signed8 } from './byte-reader.ts';
import { OperandKind } from './instruction.ts';
import type { CodeSize, Instruction, Operand } from './instruction.ts';
import { RexBit } from './rex.ts';

/** MOV to and from any other control register is undefined: CR0, CR2, CR3, CR4, CR8. */
const CONTROL_REGISTERS = 0b1_0001_1101;

/**
 * Fills the operands from the row's forms, in order; immediates are read on the way.
 * Gives false when one names a register that does not exist.
 */
export function fillOperands(out: Instruction, row: OpcodeRow, codeSize: CodeSize): boolean {
  const forms = row.operands;
  out.operandCount = forms.length;
  out.immediateLow = 0;
  out.immediateHigh = 0;
  out.secondImmediate = 0;
  let defined = true;
  for (let n = 0; n < forms.length; n++) {
    fillOperand(out, forms[n], out.operands[n], codeSize);
    if (!isDefined(forms[n].addressing, out.operands[n].register, n)) defined = false;
  }
  for (let n = forms.length; n < 4; n++) out.operands[n].kind = OperandKind.NONE;
  return defined;
}

/** Segment, control and debug registers: not every number is one. CS is no destination. DR4 and DR5 are CR4.DE's matter. */
function isDefined(addressing: number, register: number, n: number): boolean {
  if (addressing === Addressing.C) return ((CONTROL_REGISTERS >> register) & 1) === 1;
  if (addressing === Addressing.D) return register < 8;
  return addressing !== Addressing.S || (register < 6 && (n !== 0 || register !== 1));
}

function registerReg(out: Instruction): number {
  return out.reg | ((out.rex & RexBit.R) << 1);
}

function registerRm(out: Instruction): number {
  return out.rm | ((out.rex & RexBit.B) << 3);
}

function fill(operand: Operand, kind: number, register: number): void {
  operand.kind = kind;
  operand.register = register;
}

/** Without REX the byte registers 4-7 are AH CH DH BH. */
function fillGeneral(out: Instruction, operand: Operand, register: number): void {
  operand.high8 = operand.size === 8 && out.rex === 0 && register >= 4;
  fill(operand, OperandKind.GENERAL, operand.high8 ? register - 4 : register);
}

/** ModRM.rm: memory, or a register of one of three files. */
function fillRm(out: Instruction, form: OperandForm, operand: Operand, codeSize: CodeSize): void {
  if (out.mod === 3 || form.addressing === Addressing.R) {
    if (form.addressing === Addressing.E || form.addressing === Addressing.R)
      fillGeneral(out, operand, registerRm(out));
    else if (form.addressing === Addressing.Q || form.addressing === Addressing.N)
      fill(operand, OperandKind.MMX, out.rm);
    else fill(operand, OperandKind.XMM, registerRm(out));
    return;
  }
  operand.size = widthInBits(form.memoryWidth, out.operandSize, codeSize);
  fill(operand, OperandKind.MEMORY, 0);
}

function fillOperand(out: Instruction, form: OperandForm, operand: Operand, codeSize: CodeSize): void {
  operand.size = widthInBits(form.width, out.operandSize, codeSize);
  operand.high8 = false;
  switch (form.addressing) {
    case Addressing.E:
    case Addressing.M:
    case Addressing.N:
    case Addressing.Q:
    case Addressing.R:
    case Addressing.U:
    case Addressing.W:
      return fillRm(out, form, operand, codeSize);
    case Addressing.G:
      return fillGeneral(out, operand, registerReg(out));
    case Addressing.Z:
      return fillGeneral(out, operand, registerRm(out));
    case Addressing.B:
      return fill(operand, OperandKind.GENERAL, out.vvvv);
    case Addressing.GENERAL:
      return fill(operand, OperandKind.GENERAL, form.register);
    case Addressing.I:
    case Addressing.J:
    case Addressing.ONE:
      return fillImmediate(out, form, operand);
    case Addressing.A:
      return fillFarPointer(out, operand);
    case Addressing.O:
      return fillOffset(out, operand);
    case Addressing.P:
      return fill(operand, OperandKind.MMX, out.reg);
    case Addressing.V:
      return fill(operand, OperandKind.XMM, registerReg(out));
    case Addressing.XMM:
      return fill(operand, OperandKind.XMM, form.register);
    case Addressing.X87:
      return fill(operand, OperandKind.X87, 0);
    case Addressing.X87_I:
      return fill(operand, OperandKind.X87, out.rm);
    case Addressing.X:
      return fill(operand, OperandKind.STRING_SOURCE, 6);
    case Addressing.Y:
      return fill(operand, OperandKind.STRING_DESTINATION, 7);
    case Addressing.SEGMENT:
      return fill(operand, OperandKind.SEGMENT, form.register);
    default:
      return fillSystemRegister(out, form, operand);
  }
}

function fillSystemRegister(out: Instruction, form: OperandForm, operand: Operand): void {
  if (form.addressing === Addressing.S) {
    operand.size = 16;
    fill(operand, OperandKind.SEGMENT, out.reg);
  } else {
    fill(operand, form.addressing === Addressing.C ? OperandKind.CONTROL : OperandKind.DEBUG, registerReg(out));
  }
}

function fillImmediate(out: Instruction, form: OperandForm, operand: Operand): void {
  operand.register = 0;
  if (form.addressing === Addressing.ONE) {
    operand.kind = OperandKind.IMMEDIATE;
    out.immediateLow = 1;
    return;
  }
  operand.kind = form.addressing === Addressing.J ? OperandKind.RELATIVE : OperandKind.IMMEDIATE;
  // ENTER is the one row with two.
  if (form.width === 8 && out.operands[0].kind === OperandKind.IMMEDIATE && operand !== out.operands[0]) {
    operand.kind = OperandKind.SECOND_IMMEDIATE;
    out.secondImmediate = next8();
    return;
  }
  readImmediate(out, form.signed, form.width === VariableWidth.V ? out.operandSize : operand.size);
}

function readImmediate(out: Instruction, signed: boolean, size: number): void {
  if (size === 8) out.immediateLow = signed ? signed8(next8()) : next8();
  else if (size === 16) out.immediateLow = signed ? signed16(next16()) : next16();
  else out.immediateLow = next32();
  out.immediateHigh = size === 64 ? next32() : signed ? out.immediateLow >> 31 : 0;
}

function fillFarPointer(out: Instruction, operand: Operand): void {
  fill(operand, OperandKind.FAR_POINTER, 0);
  out.immediateLow = out.operandSize === 16 ? next16() : next32();
  out.secondImmediate = next16();
}

function fillOffset(out: Instruction, operand: Operand): void {
  fill(operand, OperandKind.MEMORY, 0);
  const memory = out.memory;
  memory.displacementLow = out.addressSize === 16 ? next16() : next32();
  memory.displacementHigh = out.addressSize === 64 ? next32() : 0;
}
