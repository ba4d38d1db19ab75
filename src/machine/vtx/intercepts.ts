// SPDX-License-Identifier: Apache-2.0
// Table: which instructions of a guest exit, and with which information.
// See: SDM 26.1 Instructions That Cause VM Exits

import { TIME_DIRECT } from '../cpu/timing.ts';
import type { InstructionExit } from '../../arch/instructions/row.ts';
import { compose } from '../../arch/vmx/bit-field.ts';
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import {
  encodeGdtrIdtr,
  encodeInsOuts,
  encodeInvalidate,
  encodeLdtrTr,
  encodeMemoryOperand,
  encodeRegister,
} from '../../arch/vmx/instruction-information.ts';
import type { GDTR_IDTR_IDENTITY, LDTR_TR_IDENTITY } from '../../arch/vmx/instruction-information.ts';
import { DR_ACCESS, IO_INSTRUCTION, MWAIT } from '../../arch/vmx/qualifications.ts';
import { OperandKind } from '../../decode/instruction.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { InterceptDetails } from '../cpu/environment.ts';
import { VECTOR } from '../cpu/microcode/exceptions.ts';
import { PASSING } from '../cpu/microcode/intercept.ts';
import { raiseException } from '../cpu/microcode/interrupt-delivery.ts';
import { ES, FS, RAX, RDI, RDX, RSI, STATE } from '../cpu/state.ts';
import { ioExits, msrExits } from './bitmaps.ts';
import { controlRegisterExit } from './control-register-exits.ts';
import { displacement, hasMemoryOperand, memoryOperand, operandOf } from './instruction-operand.ts';
import { pauseExits } from './pause-loop.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** What comes of an instruction: it runs, it is undefined for the guest, or it exits. */
export const VERDICT = { run: 0, undefined: 1, exit: 2 } as const;

interface Intercept {
  readonly reason: number;
  readonly verdict: (unit: VmxUnit, instruction: Instruction, details: InterceptDetails) => number;
  /** Fills in what the reason defines beside the instruction length. `cpu.rip` is behind the instruction. */
  readonly describe?: (unit: VmxUnit, instruction: Instruction, details: InterceptDetails) => void;
}

const always = (): number => VERDICT.exit;
const primary =
  (mask: number) =>
  (unit: VmxUnit): number =>
    unit.controls.has(mask) ? VERDICT.exit : VERDICT.run;
const secondary =
  (mask: number) =>
  (unit: VmxUnit): number =>
    unit.controls.has2(mask) ? VERDICT.exit : VERDICT.run;
/** Undefined unless `enable` is 1; then by the other control. */
const enabled =
  (enable: number, verdict: Intercept['verdict']): Intercept['verdict'] =>
  (unit, instruction, details) =>
    unit.controls.has2(enable) ? verdict(unit, instruction, details) : VERDICT.undefined;
const when = (exits: boolean): number => (exits ? VERDICT.exit : VERDICT.run);

// prettier-ignore
const INTERCEPTS: { readonly [Exit in InstructionExit]?: Intercept } = {
  'CPUID':                { reason: EXIT_REASON.CPUID,               verdict: always },
  'GETSEC':               { reason: EXIT_REASON.GETSEC,              verdict: always },
  'HLT':                  { reason: EXIT_REASON.HLT,                 verdict: primary(PRIMARY.HLT_EXITING) },
  'INVD':                 { reason: EXIT_REASON.INVD,                verdict: always },
  'INVLPG':               { reason: EXIT_REASON.INVLPG,              verdict: primary(PRIMARY.INVLPG_EXITING), describe: qualifyByLinear },
  'RDPMC':                { reason: EXIT_REASON.RDPMC,               verdict: primary(PRIMARY.RDPMC_EXITING) },
  'RDTSC':                { reason: EXIT_REASON.RDTSC,               verdict: primary(PRIMARY.RDTSC_EXITING) },
  'RDTSCP':               { reason: EXIT_REASON.RDTSCP,              verdict: enabled(SECONDARY.ENABLE_RDTSCP, primary(PRIMARY.RDTSC_EXITING)) },
  'Control-register accesses': { reason: EXIT_REASON.CR_ACCESS,      verdict: (unit, instruction, details) => when(controlRegisterExit(unit, instruction, details)), describe: describeControlRegister },
  'MOV DR':               { reason: EXIT_REASON.DR_ACCESS,           verdict: primary(PRIMARY.MOV_DR_EXITING), describe: describeDebugRegister },
  'I/O instruction':      { reason: EXIT_REASON.IO_INSTRUCTION,      verdict: (unit, _instruction, details) => when(ioExits(unit, details.number ?? 0, details.bytes ?? 1)), describe: describePort },
  'RDMSR':                { reason: EXIT_REASON.MSR_READ,            verdict: (unit, _instruction, details) => when(msrExits(unit, details.number ?? 0, false)) },
  'WRMSR':                { reason: EXIT_REASON.MSR_WRITE,           verdict: (unit, _instruction, details) => when(msrExits(unit, details.number ?? 0, true)) },
  'MWAIT':                { reason: EXIT_REASON.MWAIT_INSTRUCTION,   verdict: primary(PRIMARY.MWAIT_EXITING), describe: describeMwait },
  'MONITOR':              { reason: EXIT_REASON.MONITOR_INSTRUCTION, verdict: primary(PRIMARY.MONITOR_EXITING) },
  'PAUSE':                { reason: EXIT_REASON.PAUSE_INSTRUCTION,   verdict: (unit) => when(pauseExits(unit)) },
  'Access to GDTR or IDTR': { reason: EXIT_REASON.GDTR_IDTR,         verdict: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), describe: describeTableRegister },
  'Access to LDTR or TR': { reason: EXIT_REASON.LDTR_TR,             verdict: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), describe: describeSelectorRegister },
  'WBINVD or WBNOINVD':   { reason: EXIT_REASON.WBINVD,              verdict: secondary(SECONDARY.WBINVD_EXITING) },
  'XSETBV':               { reason: EXIT_REASON.XSETBV,              verdict: always },
  'RDRAND':               { reason: EXIT_REASON.RDRAND,              verdict: secondary(SECONDARY.RDRAND_EXITING), describe: describeRegister },
  'RDSEED':               { reason: EXIT_REASON.RDSEED,              verdict: secondary(SECONDARY.RDSEED_EXITING), describe: describeRegister },
  'INVPCID':              { reason: EXIT_REASON.INVPCID,             verdict: enabled(SECONDARY.ENABLE_INVPCID, primary(PRIMARY.INVLPG_EXITING)), describe: describeInvalidate },
  'XSAVES':               { reason: EXIT_REASON.XSAVES,              verdict: enabled(SECONDARY.ENABLE_XSAVES_XRSTORS, xssExits), describe: describeMemory },
  'XRSTORS':              { reason: EXIT_REASON.XRSTORS,             verdict: enabled(SECONDARY.ENABLE_XSAVES_XRSTORS, xssExits), describe: describeMemory },
};

/** The bits of PASSING for the controls in force: what the rows above would let run, whenever they are asked. */
export function passing({ controls }: VmxUnit): number {
  const counter = !controls.has(PRIMARY.RDTSC_EXITING);
  const pause = !controls.has(PRIMARY.PAUSE_EXITING) && !controls.has2(SECONDARY.PAUSE_LOOP_EXITING);
  return (
    (counter ? PASSING.RDTSC : 0) |
    (counter && controls.has2(SECONDARY.ENABLE_RDTSCP) ? PASSING.RDTSCP : 0) |
    (pause ? PASSING.PAUSE : controls.has(PRIMARY.PAUSE_EXITING) ? 0 : TIME_DIRECT.pauseLoop)
  );
}

/** Whether the instruction is taken out of the guest's hands; then the exit (or the #UD) has been made. */
export function intercept(
  unit: VmxUnit,
  instruction: Instruction,
  exit: InstructionExit,
  details: InterceptDetails,
): boolean {
  const row = INTERCEPTS[exit];
  if (row === undefined) return false;
  const verdict = row.verdict(unit, instruction, details);
  if (verdict === VERDICT.run) return false;
  if (verdict === VERDICT.undefined) return raiseUndefined(unit, instruction);
  unit.exit.begin(row.reason);
  row.describe?.(unit, instruction, details);
  unit.makeInstructionExit(instruction);
  return true;
}

/** #UD at the instruction, through the guest's IDT. */
function raiseUndefined(unit: VmxUnit, instruction: Instruction): true {
  const { cpu } = unit;
  unit.rewind(instruction);
  cpu.fault(VECTOR.UD);
  // A fault is not an instruction after which a single-step trap comes.
  cpu.trapSuppressed = true;
  unit.settle(raiseException(cpu));
  return true;
}

/** Bits of EDX:EAX that IA32_XSS and the XSS-exiting bitmap share. */
function xssExits(unit: VmxUnit): number {
  const { cpu, vmcs } = unit;
  const { words } = cpu;
  const low = words[RAX * 2] & words[STATE.xss >> 2] & vmcs.low(OFFSET.XSS_EXIT_BITMAP);
  const high = words[RDX * 2] & words[(STATE.xss >> 2) + 1] & vmcs.high(OFFSET.XSS_EXIT_BITMAP);
  return when((low | high) !== 0);
}

function qualifyByLinear(unit: VmxUnit, _instruction: Instruction, details: InterceptDetails): void {
  const linear = details.linear ?? 0;
  unit.exit.qualify(linear | 0, Math.floor(linear / 0x100000000));
}

function qualifyByDisplacement(unit: VmxUnit, instruction: Instruction): void {
  const value = hasMemoryOperand(instruction) ? displacement(unit.cpu, instruction) : 0;
  unit.exit.qualify(value | 0, Math.floor(value / 0x100000000));
}

function describeControlRegister(unit: VmxUnit, _instruction: Instruction, details: InterceptDetails): void {
  unit.exit.qualify(unit.controlRegisterQualification);
  if (details.linear !== undefined) unit.exit.atLinear(details.linear);
}

function describeDebugRegister(unit: VmxUnit, _instruction: Instruction, details: InterceptDetails): void {
  unit.exit.qualify(
    compose(DR_ACCESS, {
      NUMBER: details.number ?? 0,
      DIRECTION: details.write === true ? 0 : 1,
      REGISTER: details.register ?? 0,
    }),
  );
}

function describeMwait(unit: VmxUnit, _instruction: Instruction, details: InterceptDetails): void {
  unit.exit.qualify(compose(MWAIT, { ARMED: details.value === 1n ? 1 : 0 }));
}

function describePort(unit: VmxUnit, instruction: Instruction, details: InterceptDetails): void {
  const string = instruction.opcode.repeat !== 'none';
  const immediate = instruction.operands.some((operand) => operand.kind === OperandKind.IMMEDIATE);
  unit.exit.qualify(
    compose(IO_INSTRUCTION, {
      SIZE_MINUS_1: (details.bytes ?? 1) - 1,
      DIRECTION: details.write === true ? 0 : 1,
      STRING: string ? 1 : 0,
      REP: string && instruction.rep !== 0 ? 1 : 0,
      OPERAND_ENCODING: immediate ? 1 : 0,
      PORT: details.number ?? 0,
    }),
  );
  if (!string) return;
  const outs = details.write === true;
  unit.exit.instructionInformation = encodeInsOuts(
    instruction.addressSize as 16 | 32 | 64,
    outs ? instruction.memory.segment : 0,
  );
  unit.exit.atLinear(stringLinear(unit, instruction, outs));
}

/** Base of the segment plus rSI or rDI; nothing of it is checked. */
function stringLinear(unit: VmxUnit, instruction: Instruction, outs: boolean): number {
  const { cpu } = unit;
  const register = outs ? RSI : RDI;
  const segment = outs ? instruction.memory.segment : ES;
  const { addressSize } = instruction;
  const offset =
    addressSize === 64 ? cpu.getSigned(register * 8) : addressSize === 32 ? cpu.reg32(register) : cpu.reg16(register);
  if (cpu.code64) return segment >= FS ? cpu.segmentBase(segment) + offset : offset;
  return (cpu.segmentBase(segment) + offset) % 0x100000000;
}

function describeTableRegister(unit: VmxUnit, instruction: Instruction): void {
  qualifyByDisplacement(unit, instruction);
  const name = instruction.opcode.mnemonic as keyof typeof GDTR_IDTR_IDENTITY;
  const size = unit.cpu.code64 ? 64 : (instruction.operandSize as 16 | 32 | 64);
  unit.exit.instructionInformation = encodeGdtrIdtr(name, memoryOperand(instruction), size);
}

function describeSelectorRegister(unit: VmxUnit, instruction: Instruction): void {
  qualifyByDisplacement(unit, instruction);
  const name = instruction.opcode.mnemonic as keyof typeof LDTR_TR_IDENTITY;
  unit.exit.instructionInformation = encodeLdtrTr(name, operandOf(instruction, instruction.operands[0]));
}

function describeRegister(unit: VmxUnit, instruction: Instruction): void {
  unit.exit.instructionInformation = encodeRegister(
    instruction.operands[0].register,
    instruction.operandSize as 16 | 32 | 64,
  );
}

function describeInvalidate(unit: VmxUnit, instruction: Instruction): void {
  qualifyByDisplacement(unit, instruction);
  unit.exit.instructionInformation = encodeInvalidate(memoryOperand(instruction), instruction.operands[0].register);
}

function describeMemory(unit: VmxUnit, instruction: Instruction): void {
  qualifyByDisplacement(unit, instruction);
  unit.exit.instructionInformation = encodeMemoryOperand(memoryOperand(instruction));
}
