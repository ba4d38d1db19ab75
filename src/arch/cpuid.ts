// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { FEATURES, featureOfOption } from './cpuid-features.ts';
import type { CpuidRegister } from './cpuid-features.ts';

/** What CPUID leaves in EAX EBX ECX EDX, unsigned. */
export interface CpuidResult {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** What of a processor's state shows in its CPUID. */
export interface CpuidState {
  /** The x2APIC ID. */
  readonly apicId: number;
  /** IA32_APIC_BASE[11]. */
  readonly apicEnabled: boolean;
  /** CR4.OSXSAVE. */
  readonly osxsave: boolean;
  /** IA32_MISC_ENABLE[18]. */
  readonly monitorEnabled: boolean;
  /** In 64-bit mode: there alone SYSCALL is shown. */
  readonly code64: boolean;
}

export interface CpuidDescription {
  /** Frequency of the time-stamp counter. */
  readonly frequencyHz: number;
  /** What the local APIC timer counts before division: the core crystal clock of leaf 15H. */
  readonly crystalHz: number;
  readonly processors: number;
  readonly physicalAddressBits: number;
  /** Edits as `-cpu NAME,+x,-x` writes them. */
  readonly edits?: readonly string[];
}

/** Leaf 1 EAX: family 6, model 8FH, stepping 8. See: SDM Figure 3-6 Version Information Returned by CPUID in EAX. */
export const PROCESSOR_SIGNATURE = 0x000806f8;
/** IA32_BIOS_SIGN_ID: newer than any errata list asks for. */
export const MICROCODE_REVISION = 0x2b000700;
const BRAND = 'Turtles x86-64 processor';

const VENDOR = 'GenuineIntel';
const LARGEST_BASIC = 0x1f;
const LARGEST_EXTENDED = 0x80000008;
const LINEAR_ADDRESS_BITS = 48;
const OSXSAVE = 1 << 27;
const MONITOR = 1 << 3;
const APIC = 1 << 9;
const HTT = 1 << 28;
const SYSCALL = 1 << 11;
/** Legacy region and header: x87 and SSE need no more. */
const XSAVE_AREA_BYTES = 576;
const XCR0_SUPPORTED = 3;

const ZERO: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** Level and type, ways, sets, bytes; lines are of 64 bytes. See: SDM Table 3-8, leaf 04H. */
// prettier-ignore
const CACHES: readonly { level: number; type: 1 | 2 | 3; ways: number; sets: number; shared: boolean }[] = [
  { level: 1, type: 1, ways: 12, sets:    64, shared: false }, // data, 48 KiB
  { level: 1, type: 2, ways:  8, sets:    64, shared: false }, // instructions, 32 KiB
  { level: 2, type: 3, ways: 16, sets:  2048, shared: false }, // unified, 2 MiB
  { level: 3, type: 3, ways: 15, sets: 32768, shared: true  }, // unified, 30 MiB
];

function text(value: string, at: number): number {
  let word = 0;
  for (let i = 3; i >= 0; i--) word = (word << 8) | (at + i < value.length ? value.charCodeAt(at + i) : 0);
  return word >>> 0;
}

/** Bits that numbers 0 .. count - 1 need. */
function widthOf(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** The CPUID of a machine's processors: which features they have, and every leaf. */
export class CpuidModel {
  /** By the names of opcode rows: what the translator asks. */
  readonly features: ReadonlySet<string>;
  readonly physicalAddressBits: number;
  readonly microcodeRevision = MICROCODE_REVISION;
  private readonly description: CpuidDescription;
  private readonly words = new Map<string, number>();

  constructor(description: CpuidDescription) {
    this.description = description;
    this.physicalAddressBits = description.physicalAddressBits;
    const features = new Set(FEATURES.filter((row) => row.presence === 'base').map((row) => row.name));
    applyEdits(features, description.edits ?? []);
    this.features = features;
    for (const row of FEATURES) {
      if (!features.has(row.name)) continue;
      const key = wordKey(row.leaf, row.subleaf, row.register);
      this.words.set(key, ((this.words.get(key) ?? 0) | (1 << row.bit)) >>> 0);
    }
  }

  /** The four registers after CPUID with EAX and ECX. */
  leaf(eax: number, ecx: number, state: CpuidState): CpuidResult {
    const extended = eax >>> 0 >= 0x80000000;
    const known = extended ? eax >>> 0 <= LARGEST_EXTENDED : eax >>> 0 <= LARGEST_BASIC;
    // See: SDM 3.3 CPUID: beyond the largest leaf, the data of the largest basic leaf.
    const leaf = known ? eax >>> 0 : LARGEST_BASIC;
    return extended && known ? this.extended(leaf, state) : this.basic(leaf, ecx >>> 0, state);
  }

  private basic(leaf: number, subleaf: number, state: CpuidState): CpuidResult {
    // prettier-ignore
    switch (leaf) {
      case 0x00: return { eax: LARGEST_BASIC, ebx: text(VENDOR, 0), edx: text(VENDOR, 4), ecx: text(VENDOR, 8) };
      case 0x01: return this.version(state);
      // TLB descriptors; FFH: for the caches see leaf 4.
      case 0x02: return { eax: 0x76036301, ebx: 0x00f0b5ff, ecx: 0, edx: 0x00c30000 };
      case 0x04: return this.cache(subleaf);
      // One C1 and one C1E state; extensions, and interrupts break even when masked.
      case 0x05: return this.features.has('MONITOR') ? { eax: 64, ebx: 64, ecx: 3, edx: 0x20 } : ZERO;
      case 0x06: return this.flags(6, 0);
      case 0x07: return subleaf === 0 ? { ...this.flags(7, 0), eax: 2 } : subleaf <= 2 ? this.flags(7, subleaf) : ZERO;
      case 0x0b:
      case 0x1f: return this.topology(subleaf, state);
      case 0x0d: return this.extendedState(subleaf);
      case 0x15: return this.timeStampCounter();
      case 0x16: return { eax: this.megahertz, ebx: this.megahertz, ecx: 100, edx: 0 };
      default:   return ZERO;
    }
  }

  private extended(leaf: number, state: CpuidState): CpuidResult {
    if (leaf >= 0x80000002 && leaf <= 0x80000004) return this.brand((leaf - 0x80000002) * 16);
    // prettier-ignore
    switch (leaf) {
      case 0x80000000: return { ...ZERO, eax: LARGEST_EXTENDED };
      case 0x80000001: return hide(this.flags(leaf, 0), 'edx', state.code64 ? 0 : SYSCALL);
      // L2: 2 MiB, 16 ways, lines of 64 bytes.
      case 0x80000006: return { ...ZERO, ecx: 0x08008040 };
      case 0x80000007: return this.flags(leaf, 0);
      case 0x80000008: return { ...this.flags(leaf, 0), eax: this.physicalAddressBits | (LINEAR_ADDRESS_BITS << 8) };
      default:         return ZERO;
    }
  }

  private flags(leaf: number, subleaf: number): CpuidResult {
    const of = (register: CpuidRegister): number => this.words.get(wordKey(leaf, subleaf, register)) ?? 0;
    return { eax: of('eax'), ebx: of('ebx'), ecx: of('ecx'), edx: of('edx') };
  }

  private version(state: CpuidState): CpuidResult {
    const { processors } = this.description;
    const flags = this.flags(1, 0);
    const count = processors > 1 ? 1 << widthOf(processors) : 1;
    const hidden = hide(hide(flags, 'ecx', state.monitorEnabled ? 0 : MONITOR), 'edx', state.apicEnabled ? 0 : APIC);
    return {
      eax: PROCESSOR_SIGNATURE,
      ebx: (((state.apicId & 0xff) << 24) | (Math.min(count, 255) << 16) | (8 << 8)) >>> 0,
      ecx: (hidden.ecx | (state.osxsave ? OSXSAVE : 0)) >>> 0,
      edx: (hidden.edx | (processors > 1 ? HTT : 0)) >>> 0,
    };
  }

  private cache(subleaf: number): CpuidResult {
    const cache = CACHES[subleaf];
    if (cache === undefined) return ZERO;
    const cores = (1 << widthOf(this.description.processors)) - 1;
    const sharing = cache.shared ? cores : 0;
    return {
      eax: (cache.type | (cache.level << 5) | (1 << 8) | (sharing << 14) | (Math.min(cores, 63) << 26)) >>> 0,
      ebx: (63 | ((cache.ways - 1) << 22)) >>> 0,
      ecx: cache.sets - 1,
      edx: 0,
    };
  }

  /** One thread in a core, all cores in one package. See: SDM 9.9.1 Hierarchical Mapping of Shared Resources. */
  private topology(subleaf: number, state: CpuidState): CpuidResult {
    const { processors } = this.description;
    const edx = state.apicId >>> 0;
    if (subleaf === 0) return { eax: 0, ebx: 1, ecx: 0x100, edx };
    if (subleaf === 1) return { eax: widthOf(processors), ebx: processors, ecx: 0x201, edx };
    return { eax: 0, ebx: 0, ecx: subleaf & 0xff, edx };
  }

  private extendedState(subleaf: number): CpuidResult {
    if (!this.features.has('XSAVE')) return ZERO;
    if (subleaf === 0) return { eax: XCR0_SUPPORTED, ebx: XSAVE_AREA_BYTES, ecx: XSAVE_AREA_BYTES, edx: 0 };
    if (subleaf !== 1) return ZERO;
    const { eax } = this.flags(0xd, 1);
    return { ...ZERO, eax, ebx: this.features.has('XSAVEC') || this.features.has('XSAVES') ? XSAVE_AREA_BYTES : 0 };
  }

  private get megahertz(): number {
    return Math.round(this.description.frequencyHz / 1e6);
  }

  /** Whole MHz keep the products of 32 bits that software forms with kHz from overflowing. */
  private timeStampCounter(): CpuidResult {
    const { crystalHz } = this.description;
    const crystal = Math.round(crystalHz / 1e6);
    const divisor = greatestCommonDivisor(this.megahertz, crystal);
    return { eax: crystal / divisor, ebx: this.megahertz / divisor, ecx: crystalHz, edx: 0 };
  }

  private brand(at: number): CpuidResult {
    const name = `${BRAND} @ ${(this.description.frequencyHz / 1e9).toFixed(2)}GHz`;
    return { eax: text(name, at), ebx: text(name, at + 4), ecx: text(name, at + 8), edx: text(name, at + 12) };
  }
}

function hide(result: CpuidResult, register: 'ecx' | 'edx', bits: number): CpuidResult {
  return { ...result, [register]: (result[register] & ~bits) >>> 0 };
}

function wordKey(leaf: number, subleaf: number, register: CpuidRegister): string {
  return `${leaf}.${subleaf}.${register}`;
}

/** `+x`, `-x`, `x=on`, `x=off`, or `x`; gives those that ask for what cannot be. */
function applyEdits(features: Set<string>, edits: readonly string[]): string[] {
  return edits.filter((edit) => {
    const match = /^([+-]?)([^=]+)(?:=(on|off|yes|no|true|false))?$/.exec(edit);
    const row = match === null ? undefined : featureOfOption(match[2]);
    if (match === null || row === undefined)
      throw new UserError(`Unknown CPU feature in "${edit}".`, 'Features are named as QEMU names them: +x2apic,-smap.');
    const add = match[1] !== '-' && !['off', 'no', 'false'].includes(match[3] ?? 'on');
    if (!add) return void features.delete(row.name);
    if (row.presence === 'absent') return true;
    features.add(row.name);
    return false;
  });
}

/** The edits that ask for what the processor does not have, and so have no effect. Throws UserError as the model does. */
export function editsWithoutEffect(edits: readonly string[]): string[] {
  return applyEdits(new Set(), edits);
}
