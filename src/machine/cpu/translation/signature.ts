// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction, Operand } from '../../../decode/instruction.ts';
import type { FormPlace } from '../interpreter/module.ts';
import { MODE } from '../mode.ts';

/** Mnemonics that mean what another one means. Hints and fences have no effect on a processor that runs in order. */
// prettier-ignore
const SAME: Readonly<Record<string, string>> = {
  SAL: 'SHL', ENDBR64: 'NOP', ENDBR32: 'NOP', PREFETCHW: 'NOP', PREFETCHNTA: 'NOP', PREFETCHT0: 'NOP', PREFETCHT1: 'NOP', PREFETCHT2: 'NOP',
  LFENCE: 'NOP', MFENCE: 'NOP', SFENCE: 'NOP',
  MOVAPD: 'MOVAPS', MOVDQA: 'MOVAPS', MOVNTPS: 'MOVAPS', MOVNTPD: 'MOVAPS', MOVNTDQ: 'MOVAPS', MOVNTDQA: 'MOVAPS', MOVNTQ: 'MOVQ',
  MOVUPD: 'MOVUPS', MOVDQU: 'MOVUPS', LDDQU: 'MOVUPS', MOVLPD: 'MOVLPS', MOVHPD: 'MOVHPS', MOVLHPS: 'PUNPCKLQDQ',
  ANDPS: 'PAND', ANDPD: 'PAND', ANDNPS: 'PANDN', ANDNPD: 'PANDN', ORPS: 'POR', ORPD: 'POR', XORPS: 'PXOR', XORPD: 'PXOR',
  UNPCKLPS: 'PUNPCKLDQ', UNPCKHPS: 'PUNPCKHDQ', UNPCKLPD: 'PUNPCKLQDQ', UNPCKHPD: 'PUNPCKHQDQ',
};

/** Those whose operations exist for the 64-bit stack or instruction pointer only. */
const ONLY_64 = new Set([
  'PUSH',
  'POP',
  'LEAVE',
  'RET',
  'CALL',
  'LOOP',
  'LOOPE',
  'LOOPNE',
  'JCXZ',
  'XLAT',
  'SYSCALL',
  'SYSRET',
  'STI',
  'CLI',
  'SWAPGS',
  'PUSHF',
  'STAC',
  'CLAC',
]);

const CONDITIONS = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G'];
const CONDITIONAL = new RegExp(`^(J|CMOV|SET)(${CONDITIONS.join('|')})$`);

/** A place, and the condition code for SETcc and CMOVcc (-1 otherwise). */
export interface Match {
  readonly place: FormPlace;
  /** The same for an address without index and segment base, where there is a handler for it. */
  readonly simple: FormPlace | undefined;
  readonly condition: number;
}

/** The described operation an instruction is a form of, if it is one in this mode. */
export function matchForm(
  places: ReadonlyMap<string, FormPlace>,
  instruction: Instruction,
  mode: number,
): Match | undefined {
  const { mnemonic, condition } = formName(instruction, mode);
  if (mnemonic === '') return undefined;
  const signature = mnemonic === 'NOP' ? '' : signatureOf(instruction, mnemonic);
  const place =
    places.get(`${mnemonic}:${signature}`) ?? places.get(`${mnemonic}:${signatureOf(instruction, mnemonic, true)}`);
  return place && { place, simple: places.get(`${place.form.key}~`), condition };
}

function formName(instruction: Instruction, mode: number): { mnemonic: string; condition: number } {
  const { opcode, operandSize } = instruction;
  const given = opcode.mnemonic;
  const none = { mnemonic: '', condition: -1 };
  const conditional = CONDITIONAL.exec(given);
  if (conditional) {
    const condition = CONDITIONS.indexOf(conditional[2]);
    if (conditional[1] === 'J')
      return nearBranches(instruction, mode) ? { mnemonic: `J${condition}`, condition: -1 } : none;
    return { mnemonic: `${conditional[1]}cc`, condition };
  }
  const code64 = (mode & MODE.code64) !== 0;
  if (given === 'JMP') {
    if (instruction.operands[0].kind === OperandKind.RELATIVE)
      return nearBranches(instruction, mode) ? { mnemonic: 'JMP', condition: -1 } : none;
    return code64 && isNear(instruction) ? { mnemonic: 'JMP64', condition: -1 } : none;
  }
  if (ONLY_64.has(given)) {
    if (!code64 || !isNear(instruction)) return none;
    return { mnemonic: given === 'JCXZ' ? 'JRCXZ64' : `${given}64`, condition: -1 };
  }
  if (given === 'CBW' || given === 'CWD')
    return { mnemonic: opcode.bySize?.[Math.log2(operandSize) - 4] ?? given, condition: -1 };
  return { mnemonic: SAME[given] ?? given, condition: -1 };
}

/** Near relative branches are operations where no code-segment limit can be passed and RIP is not cut to 16 bits. */
function nearBranches(instruction: Instruction, mode: number): boolean {
  return (
    (mode & MODE.code64) !== 0 ||
    ((mode & (MODE.flat | MODE.code32)) === (MODE.flat | MODE.code32) && instruction.operandSize === 32)
  );
}

/** Not a far transfer, and not a segment register pushed or popped. */
function isNear(instruction: Instruction): boolean {
  const { kind } = instruction.operands[0];
  return (
    instruction.operandCount === 0 ||
    (kind !== OperandKind.FAR_POINTER &&
      kind !== OperandKind.SEGMENT &&
      !/^(Ap|Mp)/.test(instruction.opcode.operandText))
  );
}

function signatureOf(instruction: Instruction, mnemonic: string, widenImmediate = false): string {
  if (mnemonic === 'RET64') return instruction.operandCount > 0 ? 'i16' : '';
  if (mnemonic.startsWith('LOOP') || mnemonic === 'JRCXZ64') return `i${instruction.addressSize}`;
  if (mnemonic === 'SYSRET64' || mnemonic === 'PUSHF64') return instruction.operandSize === 64 ? '' : 'none';
  if (mnemonic === 'XLAT64' || mnemonic === 'LEAVE64')
    return instruction.segmentOverride >= 0 ||
      instruction.addressSize !== 64 ||
      (instruction.operandSize !== 64 && mnemonic === 'LEAVE64')
      ? 'none'
      : '';
  let text = '';
  for (let i = 0; i < instruction.operandCount; i++)
    text += operandText(instruction, instruction.operands[i], mnemonic, widenImmediate);
  return text;
}

function operandText(instruction: Instruction, operand: Operand, mnemonic: string, widenImmediate: boolean): string {
  switch (operand.kind) {
    case OperandKind.GENERAL:
      return `r${operand.size}`;
    case OperandKind.MEMORY:
      return `m${mnemonic === 'LEA' ? instruction.operandSize : operand.size}`;
    case OperandKind.IMMEDIATE:
      if (mnemonic === 'PUSH64') return `i${instruction.operandSize}`;
      return `i${widenImmediate ? instruction.operands[0].size : operand.size}`;
    case OperandKind.XMM:
      return 'x128';
    case OperandKind.MMX:
      return 'k64';
    case OperandKind.RELATIVE:
      return '';
    default:
      return '?';
  }
}
