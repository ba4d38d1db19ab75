// SPDX-License-Identifier: Apache-2.0
// A program of L1: what memory holds before it begins, and the steps that L1 executes. Plain data, so that a file can keep
// it and the shrinker can take parts away.
import type { Paging } from '../../src/l0/nested/capabilities.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { LAYOUT, MOST_STEPS, MOST_STEP_CODE, PARAMETER, STEP_BYTES, STEP_CODE } from './layout.ts';
import type { Race } from './races.ts';

/** Bytes at an L1-physical address. What a program does not patch is as base-memory.ts has it. */
export interface Patch {
  readonly what: string;
  readonly at: number;
  readonly bytes: readonly number[];
}

/** Fields that one step writes, in this order. */
export interface FieldList {
  readonly rows: readonly (readonly [field: FieldName, value: bigint])[];
}

/** One action of L1: registers, then code that comes to its end, to an exception, or to an exit of L2. */
export interface Step {
  readonly what: string;
  readonly code: readonly number[];
  readonly rax?: bigint;
  readonly rcx?: bigint;
  readonly rdx?: bigint;
  readonly rbx?: bigint;
}

export interface Program {
  readonly profile: ProfileName;
  readonly paging: Paging;
  readonly seed: number;
  /**
   * Whether the manual says what L1 sees of it. If not (it changes the region of a VMCS that is in use, or reaches devices
   * from L2), only what L0 must never do is checked.
   */
  readonly defined: boolean;
  readonly patches: readonly Patch[];
  readonly lists: readonly FieldList[];
  readonly steps: readonly Step[];
  /** What another processor writes meanwhile; only where `defined` is false. */
  readonly races?: readonly Race[];
}

/** What L1 is built for. */
export interface Configuration {
  readonly profile: ProfileName;
  readonly paging: Paging;
}

export const CONFIGURATIONS: readonly Configuration[] = [
  { profile: 'modern-1', paging: 'multi-dimensional' },
  { profile: 'modern-1', paging: 'shadow-on-ept' },
  { profile: 'paper-1', paging: 'multi-dimensional' },
  { profile: 'paper-1', paging: 'shadow-on-ept' },
];

export const FIELD_BY_NAME = new Map(FIELDS.map((field) => [field.name, field]));
const LIST_ROW = 16;
const LIST_BYTES = 0x1000;
const END_OF_LIST = 0xffff_ffff_ffff_ffffn;

/** Of a generated program. */
export const MOST_LISTS = 8;

/** Where list number `index` lies. */
export function listAddress(index: number): number {
  return LAYOUT.FIELD_LISTS + index * LIST_BYTES;
}

/** Writes a program over the base image. `done`: where a step's code goes on. */
export function place(program: Program, image: Uint8Array, done: number): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  for (const { at, bytes } of program.patches) image.set(bytes, at);
  program.lists.forEach(({ rows }, index) => {
    let at = listAddress(index);
    for (const [name, value] of rows) {
      view.setBigUint64(at, BigInt(FIELD_BY_NAME.get(name)?.encoding ?? 0), true);
      view.setBigUint64(at + 8, value, true);
      at += LIST_ROW;
    }
    view.setBigUint64(at, END_OF_LIST, true);
  });
  if (program.steps.length > MOST_STEPS) throw new Error(`${program.steps.length} steps`);
  program.steps.forEach((step, index) => placeStep(step, LAYOUT.STEPS + index * STEP_BYTES, view, image, done));
  view.setUint32(LAYOUT.PARAMETERS + PARAMETER.step, LAYOUT.STEPS, true);
  view.setUint32(LAYOUT.PARAMETERS + PARAMETER.end, LAYOUT.STEPS + program.steps.length * STEP_BYTES, true);
  view.setUint32(LAYOUT.PARAMETERS + PARAMETER.log, LAYOUT.LOG, true);
}

function placeStep(step: Step, at: number, view: DataView, image: Uint8Array, done: number): void {
  [step.rax, step.rcx, step.rdx, step.rbx].forEach((value, i) => {
    if (value !== undefined) view.setBigUint64(at + 8 * i, value, true);
  });
  const { code } = step;
  if (code.length > MOST_STEP_CODE) throw new Error(`${step.what}: ${code.length} bytes of code`);
  image.set(code, at + STEP_CODE);
  const jump = at + STEP_CODE + code.length;
  image[jump] = 0xe9;
  view.setInt32(jump + 1, done - (jump + 5), true);
}
