// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { MODE } from '../mode.ts';

const UNDEFINED_OPCODE = 6;
const DEVICE_NOT_AVAILABLE = 7;

/** SSE instructions without an XMM operand that still need OSFXSR. */
const SSE_STATE = new Set(['LDMXCSR', 'STMXCSR']);

/**
 * The fault that CR0.EM, CR0.TS, CR0.MP or CR4.OSFXSR make of a floating-point instruction in this mode, or -1.
 * See: SDM 14.6 Checking for Intel SSE/SSE2 Support (Table of CR0 and CR4 settings), 2.5 Control Registers.
 */
export function fpuFault(instruction: Instruction, mode: number): number {
  if ((mode & (MODE.em | MODE.ts | MODE.noSse)) === 0) return -1;
  const { opcode } = instruction;
  if (opcode.mnemonic === 'WAIT' || opcode.mnemonic === 'FWAIT')
    return mode & MODE.ts && mode & MODE.mp ? DEVICE_NOT_AVAILABLE : -1;
  if (opcode.map === 0 && opcode.opcode >= 0xd8 && opcode.opcode <= 0xdf)
    return mode & (MODE.em | MODE.ts) ? DEVICE_NOT_AVAILABLE : -1;
  const kinds = instruction.operands.slice(0, instruction.operandCount).map((operand) => operand.kind);
  const sse = kinds.includes(OperandKind.XMM) || SSE_STATE.has(opcode.mnemonic);
  const mmx = kinds.includes(OperandKind.MMX) || opcode.mnemonic === 'EMMS';
  if (!sse && !mmx) return -1;
  if (mode & MODE.em || (sse && mode & MODE.noSse)) return UNDEFINED_OPCODE;
  return mode & MODE.ts ? DEVICE_NOT_AVAILABLE : -1;
}
