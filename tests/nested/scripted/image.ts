// SPDX-License-Identifier: Apache-2.0
// The kernel that a program of the scripted L1 is: its code, the tables, the script, L2.
import { supports } from '../../../src/arch/vmx/capabilities.ts';
import { CONTROL_GROUPS, controlOf } from '../../../src/arch/vmx/controls.ts';
import type { ControlGroup, ControlKey } from '../../../src/arch/vmx/controls.ts';
import { ENCODING } from '../../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../../src/arch/vmx/fields.ts';
import { PROFILES } from '../../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../../src/arch/vmx/profiles.ts';
import { assert } from '../../../src/base/assert.ts';
import { assemble } from '../../machine/assembler.ts';
import type { Assembled } from '../../machine/assembler.ts';
import { AT, SELECTOR } from './layout.ts';
import { initialFields } from './initial-fields.ts';
import type { Mode } from './initial-fields.ts';

/** Operations of scripted.asm, in its order. */
// prettier-ignore
const OPERATIONS = ['finish', 'launch', 'resume', 'vmwrite', 'wrmsr', 'store', 'skip', 'reinject', 'call', 'vmread'] as const;
export type Operation = readonly [(typeof OPERATIONS)[number], a?: number | bigint, b?: number | bigint];

/** One L1 with one L2. */
export interface Program {
  readonly profile: ProfileName;
  readonly mode: Mode;
  /** Of L1; only the first runs the script. */
  readonly processors: number;
  /** Sent to the first processor from outside the machine, as if it had more, at so many ticks. */
  readonly signals: readonly Signal[];
  /** Controls beside those that must be 1; the profile must have them. */
  readonly controls: readonly ControlKey[];
  /** Beside, or in the place of, those of initial-fields.ts. */
  readonly fields: { readonly [Name in FieldName]?: number | bigint };
  /** L2's code from AT.L2 on: lines as tests/machine/assembler.ts takes them. */
  readonly l2: string;
  /** After the fields have been written. */
  readonly script: (labels: Assembled['labels']) => readonly Operation[];
  /** Put into memory beside all that. */
  readonly memory: (labels: Assembled['labels']) => readonly Piece[];
}

export type Signal = readonly [ticks: number, what: 'INIT' | 'start-up IPI'];

/** Quadwords, from an address on. */
export type Piece = readonly [address: number, ...words: (number | bigint)[]];

const FIELD_OF: { readonly [Group in ControlGroup]?: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
  exit: 'VM_EXIT_CONTROLS',
  entry: 'VM_ENTRY_CONTROLS',
};

/** The field of a group with these controls, and with those that must be 1. */
export function controlsField(profile: ProfileName, group: ControlGroup, keys: readonly ControlKey[]): number {
  const { capability, trueCapability } = CONTROL_GROUPS.find((row) => row.group === group) ?? {};
  const capabilities = PROFILES[profile];
  const must = capabilities[trueCapability ?? capability ?? 'IA32_VMX_BASIC']?.low ?? 0;
  const wanted = keys.map(controlOf).filter((row) => row.group === group);
  return wanted.reduce((all, { bit }) => all | (1 << bit), must) >>> 0;
}

function controlFields({ profile, controls, mode }: Program): [FieldName, number][] {
  for (const key of controls) assert(supports(PROFILES[profile], key), `${profile} has ${key}`);
  const secondary = controls.some((key) => key.startsWith('secondary.'));
  const all: ControlKey[] = [
    ...controls,
    'exit.HOST_ADDRESS_SPACE_SIZE',
    ...(mode === 'long' ? (['entry.IA32E_MODE_GUEST'] as const) : []),
    ...(secondary ? (['primary.ACTIVATE_SECONDARY_CONTROLS'] as const) : []),
  ];
  const groups = Object.entries(FIELD_OF) as [ControlGroup, FieldName][];
  return groups.map(([group, field]) => [field, controlsField(profile, group, all)]);
}

const encoding = (field: FieldName): number => ENCODING[field];

/** L1's script: what it writes into its VMCS, then what the program says. */
function scriptOf(program: Program, onExit: number, labels: Assembled['labels']): Operation[] {
  const fields = new Map<FieldName, number | bigint>([
    ...initialFields(program.profile, program.mode, onExit),
    ...controlFields(program),
    ...(Object.entries(program.fields) as [FieldName, number | bigint][]),
  ]);
  return [
    ...[...fields].map(([field, value]): Operation => ['vmwrite', encoding(field), value]),
    ...program.script(labels),
  ];
}

/** The whole kernel, from AT.ORIGIN. `code`: scripted.asm, assembled. */
export function kernelOf(program: Program, code: Uint8Array): Uint8Array {
  const kernel = new Uint8Array(AT.END - AT.ORIGIN);
  const view = new DataView(kernel.buffer);
  const [onExit, vectors] = [16, 8].map((back) => Number(new DataView(code.buffer, code.byteOffset).getBigUint64(code.length - back, true))); // prettier-ignore
  kernel.set(code);
  putTables((address, value) => view.setBigUint64(address - AT.ORIGIN, value, true), vectors);
  const l2 = assemble(AT.L2, program.l2);
  const operations = scriptOf(program, onExit, l2.labels);
  assert(operations.length * 24 <= AT.L2 - AT.SCRIPT, 'the script has room');
  operations.forEach(([operation, a = 0, b = 0], i) => {
    [OPERATIONS.indexOf(operation), a, b].forEach((word, j) =>
      view.setBigUint64(AT.SCRIPT - AT.ORIGIN + 24 * i + 8 * j, BigInt.asUintN(64, BigInt(word)), true),
    );
  });
  for (const { address, bytes } of l2.pieces) kernel.set(bytes, address - AT.ORIGIN);
  for (const [address, ...words] of program.memory(l2.labels))
    words.forEach((word, i) => view.setBigUint64(address + 8 * i - AT.ORIGIN, BigInt.asUintN(64, BigInt(word)), true));
  return kernel;
}

type Put = (address: number, value: bigint) => void;

const CODE64 = 0x00af9b000000ffffn;
const CODE32 = 0x00cf9b000000ffffn;
const DATA = 0x00cf93000000ffffn;
const [AVAILABLE_TASK, BUSY_TASK] = [0x89, 0x8b];

function taskDescriptor(base: number, type: number): bigint {
  const wide = BigInt(base);
  return 0x67n | ((wide & 0xffffffn) << 16n) | (BigInt(type) << 40n) | (((wide >> 24n) & 0xffn) << 56n);
}

/** A 64-bit interrupt gate. */
export function gate(target: number): readonly [bigint, bigint] {
  const wide = BigInt(target);
  const low = (wide & 0xffffn) | (BigInt(SELECTOR.CODE64) << 16n) | (0x8e00n << 32n) | ((wide >> 16n) << 48n);
  return [low, 0n];
}

function putTables(put: Put, vectors: number): void {
  const at = (selector: number): number => AT.GDT + selector;
  put(at(SELECTOR.CODE64), CODE64);
  put(at(SELECTOR.CODE32), CODE32);
  put(at(SELECTOR.DATA), DATA);
  put(at(SELECTOR.TASK), taskDescriptor(AT.TSS, AVAILABLE_TASK));
  put(at(SELECTOR.TASK32), taskDescriptor(AT.TSS32, BUSY_TASK));
  put(at(SELECTOR.OTHER_TASK32), taskDescriptor(AT.OTHER_TSS32, AVAILABLE_TASK));
  for (let vector = 0; vector < 256; vector++) put(AT.IDT + 16 * vector, gate(vectors + 16 * vector)[0]);
  putPages(put);
}

const LARGE = 0x200000;
const EPT_LARGE_WB = 0xb7n;
const [PRESENT, PRESENT_LARGE, PRESENT_4MB] = [3n, 0x83n, 0x83n];
const MBYTES_64 = 32;

/** Identity, 64 MBytes: L1's and L2's page tables, and an EPT with one table of small pages, all of them there. */
function putPages(put: Put): void {
  put(AT.PML4, BigInt(AT.PDPT) | PRESENT);
  put(AT.PDPT, BigInt(AT.PD) | PRESENT);
  put(AT.EPT, BigInt(AT.EPT_PDPT) | 7n);
  put(AT.EPT_PDPT, BigInt(AT.EPT_PD) | 7n);
  for (let i = 0; i < MBYTES_64; i++) {
    put(AT.PD + 8 * i, BigInt(i * LARGE) | PRESENT_LARGE);
    put(AT.EPT_PD + 8 * i, BigInt(i * LARGE) | EPT_LARGE_WB);
  }
  put(AT.EPT_PD + 8 * (AT.PAGED / LARGE), BigInt(AT.EPT_PT) | 7n);
  for (let i = 0; i < 512; i++) put(AT.EPT_PT + 8 * i, BigInt(AT.PAGED + 0x1000 * i) | 0x37n);
  for (let i = 0; i < MBYTES_64 / 2; i += 2) {
    const entry = (n: number): bigint => BigInt(n * 2 * LARGE) | PRESENT_4MB;
    put(AT.PD32 + 4 * i, entry(i) | (entry(i + 1) << 32n));
  }
}
