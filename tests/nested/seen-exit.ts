// SPDX-License-Identifier: Apache-2.0
// What L1 finds after an exit of L2: every field of its VMCS as its own VMREAD would give it, and what of L2 is left in
// the processor. Read from outside, so that it makes no difference to the run, and fields count that L1 never asks for.
import { fieldExists } from '../../src/arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import { SECONDARY } from '../../src/arch/vmx/controls.ts';
import { FIELDS, OFFSET } from '../../src/arch/vmx/fields.ts';
import type { VmcsField } from '../../src/arch/vmx/fields.ts';
import type { Halves } from '../../src/hardware/vmx.ts';
import type { NestedVcpu } from '../../src/l0/nested/nested-vcpu.ts';
import type { Processor } from '../../src/machine/cpu/processor.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import type { Memory } from '../../src/machine/memory/memory.ts';
import type { VmxUnit } from '../../src/machine/vtx/vmx-unit.ts';

const { SECONDARY_VM_EXEC_CONTROL, VMCS_LINK_POINTER, VMREAD_BITMAP } = OFFSET;
const GENERAL = ['RAX', 'RCX', 'RDX', 'RBX', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15']; // prettier-ignore
const GENERAL_NUMBERS = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/** Registers of L2 that no field holds: an exit leaves them in the processor. */
// prettier-ignore
const LEFT: readonly (readonly [name: string, state: number])[] = [
  ...GENERAL.map((name, i) => [name, 8 * GENERAL_NUMBERS[i]] as const),
  ['CR2', STATE.cr2], ['DR0', STATE.dr0], ['DR1', STATE.dr1], ['DR2', STATE.dr2], ['DR3', STATE.dr3], ['DR6', STATE.dr6],
  ['XCR0', STATE.xcr0], ['IA32_KERNEL_GS_BASE', STATE.kernelGsBase], ['IA32_STAR', STATE.star], ['IA32_LSTAR', STATE.lstar],
  ['IA32_FMASK', STATE.fmask], ['IA32_TSC_AUX', STATE.tscAux],
];

/** What is not compared, with the reason. Nothing needs to be: L1's memory has the same addresses bare and under L0. */
export const MASK: readonly (readonly [name: string, reason: string])[] = [];

/** The values of an exit, in order, two words each: the fields that there are, registers, L1's time-stamp counter. */
export interface Layout {
  readonly fields: readonly VmcsField[];
  readonly names: readonly string[];
  readonly words: number;
}

/** `capabilities`: as L1 sees them. */
export function layoutOf(capabilities: VmxCapabilities): Layout {
  const masked = new Set(MASK.map(([name]) => name));
  const fields = FIELDS.filter((field) => fieldExists(capabilities, field) && !masked.has(field.name));
  const names = [...fields.map(({ name }) => name), ...LEFT.map(([name]) => name), 'TSC'];
  return { fields, names, words: 2 * names.length };
}

/** Where L1's VMREAD finds a field, as unsigned words. */
export interface FieldPlace {
  readonly words: Uint32Array;
  readonly index: number;
}

function putRegisters(cpu: Processor, out: Uint32Array, at: number): number {
  for (const [, state] of LEFT) {
    out[at++] = cpu.words[state >> 2];
    out[at++] = cpu.words[(state >> 2) + 1];
  }
  return at;
}

const tsc: Halves = { low: 0, high: 0 };

/** On the machine itself, where the unit has just made the exit: the VMCS of the processor. */
export function sampleBare({ fields }: Layout, unit: VmxUnit, out: Uint32Array): void {
  let at = 0;
  for (const { offset } of fields) {
    out[at++] = unit.vmcs.low(offset);
    out[at++] = unit.vmcs.high(offset);
  }
  at = putRegisters(unit.cpu, out, at);
  unit.cpu.environment.tsc.read(tsc);
  out[at++] = tsc.low;
  out[at] = tsc.high;
}

/** Under L0, which is about to enter L1 (vmcs01 is current). */
export class UnderL0 {
  readonly #layout: Layout;
  readonly #nested: NestedVcpu;
  readonly #cpu: Processor;
  readonly #memory: Memory;
  readonly #words: Uint32Array;

  constructor(layout: Layout, nested: NestedVcpu, cpu: Processor) {
    this.#layout = layout;
    this.#nested = nested;
    this.#cpu = cpu;
    this.#memory = cpu.memory;
    this.#words = new Uint32Array(cpu.memory.buffer);
  }

  sample(out: Uint32Array): void {
    const { fields } = this.#layout;
    const { words } = this.#nested.vmcs12;
    const [bitmap, shadow] = [this.#host(VMREAD_BITMAP), this.#host(VMCS_LINK_POINTER)];
    let at = 0;
    for (const { offset, encoding } of fields) {
      const inShadow = bitmap >= 0 && this.#passes(bitmap, encoding);
      const from = inShadow ? this.#words : words;
      const index = inShadow ? (shadow + offset) >>> 2 : offset >> 2;
      out[at++] = from[index];
      out[at++] = from[index + 1];
    }
    at = putRegisters(this.#cpu, out, at);
    this.#nested.vcpu.tsc.read(tsc);
    out[at++] = tsc.low;
    out[at] = tsc.high;
  }

  /** In the shadow VMCS, if the hardware finds the field there without an exit; else in vmcs12, where L0 looks. */
  place({ offset, encoding }: VmcsField): FieldPlace {
    const bitmap = this.#host(VMREAD_BITMAP);
    if (bitmap < 0 || !this.#passes(bitmap, encoding)) return { words: this.#nested.vmcs12.words, index: offset >> 2 };
    return { words: this.#words, index: (this.#host(VMCS_LINK_POINTER) + offset) >>> 2 };
  }

  #passes(bitmap: number, encoding: number): boolean {
    return ((this.#memory.view.getUint8(bitmap + (encoding >> 3)) >> (encoding & 7)) & 1) === 0;
  }

  /** Where a page that vmcs01 names lies; -1 while L1's VMREADs all exit. */
  #host(field: number): number {
    const { processor } = this.#nested.vcpu;
    if ((processor.readLow(SECONDARY_VM_EXEC_CONTROL) & SECONDARY.VMCS_SHADOWING) === 0) return -1;
    return this.#memory.host(processor.readHigh(field) * 0x1_0000_0000 + processor.readLow(field));
  }
}
