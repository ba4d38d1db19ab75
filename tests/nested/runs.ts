// SPDX-License-Identifier: Apache-2.0
// One run of L1 with its L2, on the machine itself or under L0: what L1 wrote down, and the memory it leaves.
import assert from 'node:assert/strict';
import { fieldExists } from '../../src/arch/vmx/capabilities.ts';
import { PRIMARY, SECONDARY } from '../../src/arch/vmx/controls.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { PROFILES } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { NestedHost } from '../../src/l0/nested-hooks.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';
import { Pc } from '../../src/system/pc.ts';
import type { PcEnd } from '../../src/system/pc.ts';

/** How L1 sets up its VMCS. What the profile lacks, L1 does without. */
export interface Variant {
  readonly profile: ProfileName;
  readonly ept: boolean;
  /** Accessed and dirty flags in the EPT. */
  readonly dirtyFlags: boolean;
  readonly vpid: boolean;
  /** TPR shadow and virtual APIC accesses; otherwise L2's CR8 is L1's. */
  readonly tprShadow: boolean;
}

export interface Outcome {
  readonly log: BigUint64Array;
  readonly memory: Uint8Array;
  readonly end: PcEnd | undefined;
}

const RAM_BYTES = 64 << 20;
const MOST_TICKS = 4e7;
const FREQUENCY = 1e9;
const DEBUG_EXIT = 0xf4;
// See layout.inc
const VMCS = { from: 0x220000, to: 0x222000 } as const;
const LOG_END = 0xff0000;
const LOG = 0x1000000;

const WRITE_BACK_4_LEVELS = 0x1e;
const EPT_DIRTY_FLAGS = 0x40;
const END_OF_FIELDS = 0xffffffff;
/** The fields that L1 writes down: those of the richer profile. */
export const LOGGED = FIELDS.filter((field) => fieldExists(PROFILES['modern-1'], field));

/** The image with its parameters. See the end of l1.asm. */
export function kernelFor(image: Uint8Array, { profile, ept, dirtyFlags, vpid, tprShadow }: Variant): Uint8Array {
  const secondary =
    SECONDARY.DESCRIPTOR_TABLE_EXITING | SECONDARY.ENABLE_RDTSCP | SECONDARY.WBINVD_EXITING | SECONDARY.RDRAND_EXITING |
    SECONDARY.ENABLE_INVPCID | SECONDARY.RDSEED_EXITING | SECONDARY.ENABLE_XSAVES_XRSTORS |
    (ept ? SECONDARY.ENABLE_EPT : 0) | (vpid ? SECONDARY.ENABLE_VPID : 0) |
    (tprShadow ? SECONDARY.VIRTUALIZE_APIC_ACCESSES : 0); // prettier-ignore
  const primary = tprShadow ? PRIMARY.USE_TPR_SHADOW : 0;
  const eptPointer = WRITE_BACK_4_LEVELS | (dirtyFlags && profile === 'modern-1' ? EPT_DIRTY_FLAGS : 0);
  const words = [secondary, primary, eptPointer, ...LOGGED.map(({ encoding }) => encoding), END_OF_FIELDS];
  const kernel = new Uint8Array(image.length + words.length * 4);
  kernel.set(image);
  const view = new DataView(kernel.buffer);
  words.forEach((word, i) => view.setUint32(image.length + i * 4, word, true));
  return kernel;
}

/** What is not the usual. */
export interface Special {
  readonly jit?: JitMode;
  /** Before the machine begins. */
  readonly prepare?: (machine: Machine) => void;
}

function options(vmxProfile: ProfileName, { jit }: Special) {
  const nothing = { serial: [], disks: [], startTime: 0 };
  const debugExit = { port: DEBUG_EXIT, size: 4 };
  return {
    ...nothing,
    ramBytes: RAM_BYTES,
    processors: 1,
    frequencyHz: FREQUENCY,
    seed: 1,
    vmxProfile,
    debugExit,
    jit,
  };
}

/** On the machine itself. */
export function runBare(kernel: Uint8Array, profile: ProfileName, special: Special = {}): Outcome {
  const pc = new Pc(options(profile, special));
  special.prepare?.(pc.machine);
  return run(pc, kernel, MOST_TICKS, (address, bytes) => pc.machine.memory.read(address, bytes));
}

/** Under L0, which has shuffled L1's memory in the machine's; in slices of `slice` ticks. */
export function runUnderL0(
  kernel: Uint8Array,
  profile: ProfileName,
  slice = MOST_TICKS,
  special: Special = {},
): Outcome {
  const l0 = { nested: (host: NestedHost) => new NestedVmx(host) };
  const pc = new L0Pc({ ...options(profile, special), vmxProfile: profile, permute: 9, l0 });
  return run(pc, kernel, slice, (address, bytes) => pc.l0.l1.memory.read(address, bytes));
}

function run(
  pc: Pc | L0Pc,
  kernel: Uint8Array,
  slice: number,
  read: (address: number, bytes: Uint8Array) => void,
): Outcome {
  pc.boot({ kernel, kernelName: 'l1', commandLine: '', modules: [] });
  for (let ticks = slice; ticks <= MOST_TICKS && pc.run(ticks) === 'limit'; ticks += slice);
  const memory = new Uint8Array(RAM_BYTES);
  read(0, memory);
  const logEnd = new DataView(memory.buffer).getUint32(LOG_END, true);
  assert.ok(logEnd > LOG && logEnd < RAM_BYTES, `L1 came to its end: ${JSON.stringify(pc.end)}`);
  const log = new BigUint64Array(memory.buffer.slice(LOG, logEnd));
  // How a processor keeps a VMCS is its own affair.
  memory.fill(0, VMCS.from, VMCS.to);
  return { log, memory, end: pc.end };
}
