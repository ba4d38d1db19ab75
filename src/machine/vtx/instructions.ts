// SPDX-License-Identifier: Apache-2.0
// The VMX instructions. See: SDM Chapter 31 VMX Instruction Reference

import { firstBasicFailure } from '../../arch/vmx/basic-checks.ts';
import type { BasicCheck } from '../../arch/vmx/basic-checks.ts';
import { LAUNCH_STATE, REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import { operandLinear } from '../cpu/microcode/effective-address.ts';
import { putSigned } from '../cpu/microcode/implicit-access.ts';
import type { Microcode, MicrocodeRoutines } from '../cpu/microcode/microcode.ts';
import { CR4 } from '../cpu/processor.ts';
import type { Processor } from '../cpu/processor.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import { supportsShadowing } from './capability-questions.ts';
import { allowedControl } from './control-registers.ts';
import { enterGuest, refusedBefore } from './entry.ts';
import { BLOCKING } from './exit.ts';
import { INVALIDATION_MICROCODE } from './invalidate.ts';
import { inCompatibilityMode, rootOnly, rootOnlyWithOperand, unitInOperation } from './operation.ts';
import { fail, failEntry, failInvalid, succeed } from './outcome.ts';
import { NO_VMCS, readPhysical32 } from './vmcs.ts';
import { VMCS_ACCESS_MICROCODE } from './vmcs-access.ts';
import { vmxUnitOf } from './vmx-unit.ts';
import type { VmxUnit } from './vmx-unit.ts';

const IA32_FEATURE_CONTROL = 0x3a;
/** Lock, and VMX outside SMX operation. */
const FEATURE_CONTROL_ENABLED = 5n;
const SHADOW_INDICATOR = 0x80000000;

/** A physical address from memory, by `loadPointer`. */
const pointer = { address: 0, valid: false };

/**
 * Reads the 64-bit operand. False: it faulted. `pointer.valid` says whether it is 4-KByte aligned and within the
 * physical-address width.
 */
function loadPointer(unit: VmxUnit, instruction: Instruction): boolean {
  const { cpu, facts } = unit;
  const linear = operandLinear(cpu, instruction, 8, false);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(linear, 8, false, cpu.dataClass);
  if (host === -1) return false;
  const low = cpu.memory.view.getUint32(host, true);
  const high = cpu.memory.view.getUint32(host + 4, true);
  pointer.address = high * 0x100000000 + low;
  pointer.valid = (low & 0xfff) === 0 && high >>> (facts.physicalAddressWidth - 32) === 0;
  return true;
}

function revisionAt(unit: VmxUnit, address: PhysicalAddress): number {
  return readPhysical32(unit.cpu.memory, address + REVISION_ID_OFFSET);
}

function vmxon(cpu: Processor, instruction: Instruction): number {
  const unit = vmxUnitOf(cpu);
  if (unit === undefined || (cpu.cr4 & CR4.VMXE) === 0 || inCompatibilityMode(cpu)) return cpu.undefinedOpcode();
  if (unit.state.vmxOperation) {
    const status = rootOnlyWithOperand(unit, instruction, EXIT_REASON.VMON);
    return status >= 0 ? status : fail(unit, 'VMXON_IN_VMX_ROOT_OPERATION');
  }
  if (cpu.cpl !== 0 || !mayEnterOperation(unit)) return cpu.generalProtection();
  if (!loadPointer(unit, instruction)) return STATUS.fault;
  if (!pointer.valid || revisionAt(unit, pointer.address) !== unit.facts.revisionId) return failInvalid(cpu);
  const { state } = unit;
  state.vmxOperation = true;
  state.vmxonPointer = pointer.address;
  state.currentVmcs = NO_VMCS;
  unit.checked.forgetAll();
  cpu.environment.monitor.address = -1;
  return succeed(cpu);
}

/** CR0 and CR4 as VMX operation fixes them, and firmware's permission. See: SDM 24.7 Enabling and Entering VMX Operation */
function mayEnterOperation(unit: VmxUnit): boolean {
  const { cpu, state } = unit;
  const permitted =
    (cpu.environment.msrs.get(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_ENABLED) === FEATURE_CONTROL_ENABLED;
  state.vmxOperation = true;
  const fixed = allowedControl(unit, 0, cpu.get32(STATE.cr0)) && allowedControl(unit, 4, cpu.get32(STATE.cr4));
  state.vmxOperation = false;
  return permitted && fixed;
}

function vmxoff(cpu: Processor, instruction: Instruction): number {
  const unit = unitInOperation(cpu);
  if (unit === undefined) return STATUS.fault;
  const status = rootOnly(unit, instruction, EXIT_REASON.VMOFF);
  if (status >= 0) return status;
  unit.state.vmxOperation = false;
  unit.state.vmxonPointer = unit.state.currentVmcs = NO_VMCS;
  cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
  return succeed(cpu);
}

/** VMCLEAR, VMPTRLD and VMPTRST share how they begin. */
function withPointer(reason: number, body: (unit: VmxUnit) => number): Microcode {
  return (cpu, instruction) => {
    const unit = unitInOperation(cpu);
    if (unit === undefined) return STATUS.fault;
    const status = rootOnlyWithOperand(unit, instruction, reason);
    if (status >= 0) return status;
    return loadPointer(unit, instruction) ? body(unit) : STATUS.fault;
  };
}

function vmclear(unit: VmxUnit): number {
  const { state, cpu } = unit;
  const { address } = pointer;
  if (!pointer.valid) return fail(unit, 'VMCLEAR_INVALID_ADDRESS');
  if (address === state.vmxonPointer) return fail(unit, 'VMCLEAR_VMXON_POINTER');
  unit.clear(address);
  return succeed(cpu);
}

function vmptrld(unit: VmxUnit): number {
  const { state, cpu, facts } = unit;
  const { address } = pointer;
  if (!pointer.valid) return fail(unit, 'VMPTRLD_INVALID_ADDRESS');
  if (address === state.vmxonPointer) return fail(unit, 'VMPTRLD_VMXON_POINTER');
  const revision = revisionAt(unit, address);
  const shadow = revision >= SHADOW_INDICATOR;
  if ((revision & 0x7fffffff) !== facts.revisionId || (shadow && !supportsShadowing(unit.capabilities)))
    return fail(unit, 'VMPTRLD_INCORRECT_VMCS_REVISION_ID');
  unit.makeCurrent(address);
  return succeed(cpu);
}

function vmptrst(cpu: Processor, instruction: Instruction): number {
  const unit = unitInOperation(cpu);
  if (unit === undefined) return STATUS.fault;
  const status = rootOnlyWithOperand(unit, instruction, EXIT_REASON.VMPTRST);
  if (status >= 0) return status;
  const linear = operandLinear(cpu, instruction, 8, true);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(linear, 8, true, cpu.dataClass);
  if (host === -1) return STATUS.fault;
  putSigned(cpu.memory.view, host, unit.state.currentVmcs);
  cpu.mmu.finishStore();
  return succeed(cpu);
}

function enter(launch: boolean): Microcode {
  const reason = launch ? EXIT_REASON.VMLAUNCH : EXIT_REASON.VMRESUME;
  return (cpu, instruction) => {
    const unit = unitInOperation(cpu);
    if (unit === undefined) return STATUS.fault;
    const status = rootOnly(unit, instruction, reason);
    if (status >= 0) return status;
    unit.enteringRip = cpu.rip - instruction.length;
    unit.enteringCr3 = cpu.getSigned(STATE.cr3);
    return enterFromRoot(unit, launch);
  };
}

/** VMLAUNCH or VMRESUME in root operation, at CPL 0. */
function enterFromRoot(unit: VmxUnit, launch: boolean): number {
  const refused = basicFailure(unit, launch) ?? refusedBefore(unit);
  if (refused !== undefined) {
    unit.recording.failed(unit, refused);
    return failEntry(unit, refused);
  }
  enterGuest(unit);
  return STATUS.exit;
}

function basicFailure({ state, vmcs, cpu, basic }: VmxUnit, launch: boolean): BasicCheck | undefined {
  basic.current = state.currentVmcs !== NO_VMCS;
  basic.shadow = basic.current && vmcs.revision >= SHADOW_INDICATOR;
  basic.movSs = (cpu.words[STATE.interruptibility >> 2] & BLOCKING.movSs) !== 0;
  basic.launch = launch;
  basic.launchState = basic.current ? vmcs.launchState : LAUNCH_STATE.clear;
  return firstBasicFailure(basic);
}

function vmcall(cpu: Processor, instruction: Instruction): number {
  const unit = vmxUnitOf(cpu);
  if (unit === undefined || !unit.state.vmxOperation) return cpu.undefinedOpcode();
  if (!unit.nonRoot && (cpu.virtual8086 || inCompatibilityMode(cpu))) return cpu.undefinedOpcode();
  const status = rootOnly(unit, instruction, EXIT_REASON.VMCALL);
  return status >= 0 ? status : fail(unit, 'VMCALL_IN_VMX_ROOT_OPERATION');
}

/** VM functions are for non-root operation. No profile has one, so the exit for those that are not enabled is left. */
function vmfunc(cpu: Processor, instruction: Instruction): number {
  const unit = vmxUnitOf(cpu);
  if (unit === undefined || !unit.nonRoot || !unit.controls.has2(SECONDARY.ENABLE_VM_FUNCTIONS) || cpu.reg32(0) >= 64)
    return cpu.undefinedOpcode();
  return rootOnly(unit, instruction, EXIT_REASON.VMFUNC);
}

export const VMX_MICROCODE: MicrocodeRoutines = {
  VMXON: vmxon,
  VMXOFF: vmxoff,
  VMCLEAR: withPointer(EXIT_REASON.VMCLEAR, vmclear),
  VMPTRLD: withPointer(EXIT_REASON.VMPTRLD, vmptrld),
  VMPTRST: vmptrst,
  VMLAUNCH: enter(true),
  VMRESUME: enter(false),
  VMCALL: vmcall,
  VMFUNC: vmfunc,
  ...VMCS_ACCESS_MICROCODE,
  ...INVALIDATION_MICROCODE,
};
