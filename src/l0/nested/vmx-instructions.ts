// SPDX-License-Identifier: Apache-2.0
// The VMX instructions as L1 executes them: each exits to L0, which does what the processor would in VMX root operation.
// See: SDM Chapter 31 VMX Instruction Reference; paper.md 2.2

import { LAUNCH_STATE, LAUNCH_STATE_OFFSET, REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import { eptSupports, supports } from '../../arch/vmx/capabilities.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { CR4_ROWS } from '../../arch/control-registers.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { readMsr } from '../msrs.ts';
import { enterL2 } from './enter-l2.ts';
import { invept, invvpid } from './invalidations.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { readOperand, writeOperand } from './operand.ts';
import { fail, failInvalid, succeed } from './outcome.ts';
import { vmread, vmwrite } from './vmcs-access.ts';
import { NO_VMCS } from './vmcs12.ts';

const { VMX_INSTRUCTION_INFO } = OFFSET;
const INVALID_OPCODE = 6;
const GENERAL_PROTECTION = 13;
const SHADOW_INDICATOR = 0x80000000;
const IA32_FEATURE_CONTROL = 0x3a;
/** Lock, and VMX outside SMX operation. */
const FEATURE_CONTROL_ENABLED = 5n;
const CR4_VMXE = 1 << (CR4_ROWS.find(([name]) => name === 'VMXE')?.[1] ?? 13);

type Instruction = (nested: NestedVcpu) => void;

/** Serves an exit of L1 by a VMX instruction. `reason` is the basic exit reason. */
export function vmxInstruction(nested: NestedVcpu, reason: number): void {
  const instruction = INSTRUCTIONS.get(reason);
  // An instruction that L1's processor does not have faults at any privilege level.
  const hidden = reason === EXIT_REASON.INVEPT && !eptSupports(nested.shown, 'INVEPT');
  if (instruction === undefined || hidden) nested.vcpu.raise(INVALID_OPCODE);
  else instruction(nested);
}

/** All but VMXON: outside VMX operation they are undefined, above CPL 0 they are refused. The hardware saw to the mode. */
function inRootOperation(body: Instruction): Instruction {
  return (nested) => {
    const { vcpu, state } = nested;
    if (state.vmxOperation === 0 || (vcpu.longMode && !vcpu.code64)) vcpu.raise(INVALID_OPCODE);
    else if (vcpu.cpl !== 0) vcpu.raise(GENERAL_PROTECTION, 0);
    else body(nested);
  };
}

const information = ({ vcpu }: NestedVcpu): number => vcpu.processor.readLow(VMX_INSTRUCTION_INFO);

const operand = new Uint8Array(8);
const operandView = new DataView(operand.buffer);

/** A physical address from the 64-bit operand; `valid`: aligned to 4 KBytes and within the physical-address width. */
interface Pointer {
  readonly address: PhysicalAddress;
  readonly valid: boolean;
}

/** Undefined: an exception was raised. */
function pointerOperand(nested: NestedVcpu): Pointer | undefined {
  if (!readOperand(nested.vcpu, information(nested), operand)) return undefined;
  const low = operandView.getUint32(0, true);
  const high = operandView.getUint32(4, true);
  const { physicalAddressWidth } = nested.context.facts;
  return {
    address: high * 0x1_0000_0000 + low,
    valid: (low & 0xfff) === 0 && high >>> (physicalAddressWidth - 32) === 0,
  };
}

function revisionAt({ vcpu }: NestedVcpu, address: PhysicalAddress): number {
  return vcpu.machine.memory.read32(address + REVISION_ID_OFFSET);
}

function vmxon(nested: NestedVcpu): void {
  const { vcpu, state, context } = nested;
  if ((vcpu.cr4 & CR4_VMXE) === 0 || (vcpu.longMode && !vcpu.code64)) return vcpu.raise(INVALID_OPCODE);
  if (vcpu.cpl !== 0) return vcpu.raise(GENERAL_PROTECTION, 0);
  if (state.vmxOperation !== 0) return fail(nested, 'VMXON_IN_VMX_ROOT_OPERATION');
  if (!mayEnterOperation(nested)) return vcpu.raise(GENERAL_PROTECTION, 0);
  const pointer = pointerOperand(nested);
  if (pointer === undefined) return;
  if (!pointer.valid || revisionAt(nested, pointer.address) !== context.facts.revisionId) return failInvalid(vcpu);
  state.vmxOperation = 1;
  state.vmxonPointer = pointer.address;
  nested.vmcs12.drop();
  succeed(vcpu);
}

/** See: SDM 24.7 Enabling and Entering VMX Operation */
function mayEnterOperation(nested: NestedVcpu): boolean {
  const { vcpu } = nested;
  const permitted = ((readMsr(vcpu, IA32_FEATURE_CONTROL) ?? 0n) & FEATURE_CONTROL_ENABLED) === FEATURE_CONTROL_ENABLED;
  return permitted && fixedBitsHold(nested, 0, vcpu.cr0) && fixedBitsHold(nested, 4, vcpu.cr4);
}

/** Whether VMX operation lets CR0 or CR4 have this value. See: SDM 24.8 Restrictions on VMX Operation */
export function fixedBitsHold({ context }: NestedVcpu, register: 0 | 4, value: number): boolean {
  const { facts } = context;
  const [must, may] = register === 0 ? [facts.cr0Fixed0, facts.cr0Fixed1] : [facts.cr4Fixed0, facts.cr4Fixed1];
  return (~value & must) === 0 && (value & ~may) === 0;
}

function vmxoff(nested: NestedVcpu): void {
  leaveOperation(nested);
  succeed(nested.vcpu);
}

/** VMXOFF, and whatever else ends VMX operation while L1 runs: nothing of L2 outlives it. */
export function leaveOperation(nested: NestedVcpu): void {
  const { state } = nested;
  release(nested);
  nested.multiDimensional.releaseAll();
  state.vmxOperation = 0;
  state.vmxonPointer = NO_VMCS;
}

/** The current VMCS goes back into L1's memory, and none is current. */
function release(nested: NestedVcpu): void {
  const { vmcs12, shadow, vcpu } = nested;
  if (!vmcs12.isCurrent) return;
  shadow?.pull(vmcs12);
  nested.recording.released(nested);
  shadow?.turnOff();
  vmcs12.flush(vcpu.machine.memory);
  vmcs12.drop();
}

function vmclear(nested: NestedVcpu): void {
  const { vcpu, vmcs12, state } = nested;
  const pointer = pointerOperand(nested);
  if (pointer === undefined) return;
  if (!pointer.valid) return fail(nested, 'VMCLEAR_INVALID_ADDRESS');
  if (pointer.address === state.vmxonPointer) return fail(nested, 'VMCLEAR_VMXON_POINTER');
  if (pointer.address === vmcs12.pointer) release(nested);
  nested.recording.cleared(nested, pointer.address);
  vcpu.machine.memory.write32(pointer.address + LAUNCH_STATE_OFFSET, LAUNCH_STATE.clear);
  succeed(vcpu);
}

function vmptrld(nested: NestedVcpu): void {
  const { vcpu, vmcs12, state, context, shadow } = nested;
  const pointer = pointerOperand(nested);
  if (pointer === undefined) return;
  const { address } = pointer;
  if (!pointer.valid) return fail(nested, 'VMPTRLD_INVALID_ADDRESS');
  if (address === state.vmxonPointer) return fail(nested, 'VMPTRLD_VMXON_POINTER');
  const revision = revisionAt(nested, address);
  const isShadow = revision >= SHADOW_INDICATOR;
  const known =
    (revision & 0x7fffffff) === context.facts.revisionId &&
    (!isShadow || supports(nested.shown, 'secondary.VMCS_SHADOWING'));
  if (!known) return fail(nested, 'VMPTRLD_INCORRECT_VMCS_REVISION_ID');
  if (address !== vmcs12.pointer) {
    release(nested);
    vmcs12.load(vcpu.machine.memory, address);
    nested.recording.loaded(nested);
    shadow?.turnOn(vmcs12);
  }
  succeed(vcpu);
}

function vmptrst(nested: NestedVcpu): void {
  const { vcpu, vmcs12 } = nested;
  const none = !vmcs12.isCurrent;
  operandView.setUint32(0, none ? 0xffffffff : vmcs12.pointer >>> 0, true);
  operandView.setUint32(4, none ? 0xffffffff : Math.floor(vmcs12.pointer / 0x1_0000_0000), true);
  if (writeOperand(vcpu, information(nested), operand)) succeed(vcpu);
}

// prettier-ignore
const ROWS: readonly (readonly [ExitReasonName, Instruction])[] = [
  ['VMON',     vmxon],
  ['VMOFF',    inRootOperation(vmxoff)],
  ['VMCLEAR',  inRootOperation(vmclear)],
  ['VMPTRLD',  inRootOperation(vmptrld)],
  ['VMPTRST',  inRootOperation(vmptrst)],
  ['VMREAD',   inRootOperation((nested) => vmread(nested, information(nested)))],
  ['VMWRITE',  inRootOperation((nested) => vmwrite(nested, information(nested)))],
  ['VMLAUNCH', inRootOperation((nested) => enterL2(nested, true))],
  ['VMRESUME', inRootOperation((nested) => enterL2(nested, false))],
  ['INVEPT',   inRootOperation((nested) => invept(nested, information(nested)))],
  ['INVVPID',  inRootOperation((nested) => invvpid(nested, information(nested)))],
  // There is no dual-monitor treatment to call.
  ['VMCALL',   inRootOperation((nested) => fail(nested, 'VMCALL_IN_VMX_ROOT_OPERATION'))],
  // VM functions are for non-root operation.
  ['VMFUNC',   (nested) => nested.vcpu.raise(INVALID_OPCODE)],
];

const INSTRUCTIONS = new Map(ROWS.map(([name, instruction]) => [EXIT_REASON[name], instruction]));
