// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../base/assert.ts';
import { Addressing, parseOperand } from './operand-notation.ts';
import type { OperandForm } from './operand-notation.ts';

/** Exit reasons that executing an instruction can cause. See: SDM Appendix C VMX Basic Exit Reasons. */
// prettier-ignore
export type InstructionExit =
  | 'CPUID' | 'GETSEC' | 'HLT' | 'INVD' | 'INVLPG' | 'RDPMC' | 'RDTSC' | 'RSM'
  | 'VMCALL' | 'VMCLEAR' | 'VMLAUNCH' | 'VMPTRLD' | 'VMPTRST' | 'VMREAD' | 'VMRESUME' | 'VMWRITE' | 'VMXOFF' | 'VMXON'
  | 'Control-register accesses' | 'MOV DR' | 'I/O instruction' | 'RDMSR' | 'WRMSR' | 'MWAIT' | 'MONITOR' | 'PAUSE'
  | 'Access to GDTR or IDTR' | 'Access to LDTR or TR' | 'INVEPT' | 'RDTSCP' | 'INVVPID' | 'WBINVD or WBNOINVD' | 'XSETBV'
  | 'RDRAND' | 'INVPCID' | 'VMFUNC' | 'RDSEED' | 'XSAVES' | 'XRSTORS';

/** What follows an instruction: the next one, another place, or (system) a state that must be looked at afresh. */
export type BlockEnd = 'none' | 'jump' | 'conditional' | 'call' | 'return' | 'system';

/** The mandatory-prefix classes in the order of VEX.pp. See: SDM 2.3.6.1 3-byte VEX byte 1, bits[7:0]. */
export const PrefixClass = { NONE: 0, X66: 1, F3: 2, F2: 3 } as const;

/** The opcode maps; the last three are those behind a VEX prefix. */
export const OpcodeMap = { ONE_BYTE: 0, X0F: 1, X0F38: 2, X0F3A: 3, VEX_0F: 4, VEX_0F38: 5, VEX_0F3A: 6 } as const;

/** What a row may say beside encoding and operands. */
export interface OpcodeAttributes {
  /** LOCK is allowed when the first operand is memory. */
  lock?: true;
  /** In 64-bit mode the operand size is 64, or 16 with prefix 66. See: SDM 2.2.1.7 Default 64-Bit Operand Size. */
  default64?: true;
  /** In 64-bit mode the operand size is 64 whatever the prefixes. */
  force64?: true;
  /** Undefined in 64-bit mode. */
  no64?: true;
  /** Defined in 64-bit mode only. */
  only64?: true;
  /** Undefined in real-address and virtual-8086 mode. */
  protectedMode?: true;
  /** General protection, error code 0, when CPL is above 0. */
  privileged?: true;
  /** The CPUID feature flag that enumerates it; without it the opcode is undefined, or what `rowWithoutFeature` gives. */
  feature?: string;
  /** The exit reason when VMX non-root operation intercepts it. */
  vmx?: InstructionExit;
  blockEnd?: BlockEnd;
  /** A string instruction: REP repeats it, or REPE and REPNE do. */
  repeat?: 'REP' | 'REPE';
  /** Both forms of ModRM.mod name a register (MOV to and from control and debug registers). */
  modIgnored?: true;
  /** Names for operand sizes 16, 32, 64 where the SDM has one for each. */
  bySize?: string;
  /** Names for address sizes 16, 32, 64. */
  byAddressSize?: string;
}

/** One instruction form. `draft` rows have id -1 until the table numbers them. */
export interface OpcodeRow {
  /** The index in `opcodeTable`. */
  readonly id: number;
  /** As the SDM's opcode column, without immediates: `66 0F 38 F6`, `0F C7 /1`, `D9 C0+i`. */
  readonly encoding: string;
  readonly mnemonic: string;
  /** As the table writes them: `Ev Gv`. */
  readonly operandText: string;
  readonly operands: readonly OperandForm[];
  /** One of `OpcodeMap`. */
  readonly map: number;
  readonly opcode: number;
  /** The low three bits of the opcode are a register: the row stands for eight opcodes. */
  readonly registerInOpcode: boolean;
  /** Bit n set: prefix class n selects this row. */
  readonly prefixClasses: number;
  /** The one class of a mandatory prefix (NONE for NP and NFx), or -1 where prefixes keep their usual meaning. */
  readonly mandatoryPrefix: number;
  /** Required REX.W or VEX.W, or -1. */
  readonly w: number;
  readonly hasModrm: boolean;
  /** Required ModRM.mod: register (mod = 3) or memory. */
  readonly mod: 'any' | 'register' | 'memory';
  /** Required ModRM.reg (the SDM's /digit), or -1. */
  readonly digit: number;
  /** Required ModRM byte, or -1; with `modrmCount` 8 its low three bits are free (+i). */
  readonly modrm: number;
  readonly modrmCount: number;
  readonly lock: boolean;
  readonly default64: boolean;
  readonly force64: boolean;
  readonly no64: boolean;
  readonly only64: boolean;
  readonly protectedMode: boolean;
  readonly privileged: boolean;
  readonly modIgnored: boolean;
  readonly feature: string | undefined;
  readonly vmx: InstructionExit | undefined;
  readonly blockEnd: BlockEnd;
  readonly repeat: 'none' | 'REP' | 'REPE';
  /** Names for operand sizes 16, 32, 64, or none. */
  readonly bySize: readonly string[] | undefined;
  readonly byAddressSize: readonly string[] | undefined;
}

// prettier-ignore
const LEGACY = /^(?:(NP|NFx|66|F2|F3) )?(REX\.W )?(?:(0F 38|0F 3A|0F) )?([0-9A-F]{2})(\+r)?(?: (?:\/([0-7])|([C-F][0-9A-F])(\+i)?))?(?: (reg|mem))?$/;
const VEX = /^VEX\.LZ\.(?:(66|F2|F3)\.)?(0F38|0F3A|0F)(?:\.(W[01]))? ([0-9A-F]{2})(?: \/([0-7]))?$/;

const CLASSES: Readonly<Record<string, number>> = { '66': PrefixClass.X66, F3: PrefixClass.F3, F2: PrefixClass.F2 };
const LEGACY_MAPS: Readonly<Record<string, number>> = {
  '0F': OpcodeMap.X0F,
  '0F 38': OpcodeMap.X0F38,
  '0F 3A': OpcodeMap.X0F3A,
};
const VEX_MAPS: Readonly<Record<string, number>> = {
  '0F': OpcodeMap.VEX_0F,
  '0F38': OpcodeMap.VEX_0F38,
  '0F3A': OpcodeMap.VEX_0F3A,
};

type Encoding = Pick<
  OpcodeRow,
  'map' | 'opcode' | 'registerInOpcode' | 'prefixClasses' | 'mandatoryPrefix' | 'w' | 'digit' | 'modrm' | 'modrmCount'
> & { readonly form: string | undefined };

/** NP excludes 66, F2 and F3; NFx excludes F2 and F3. See: SDM 3.1.1.1 Opcode Column in the Instruction Summary Table. */
function prefixClassesOf(prefix: string | undefined): { prefixClasses: number; mandatoryPrefix: number } {
  if (prefix === undefined) return { prefixClasses: 0b1111, mandatoryPrefix: -1 };
  if (prefix === 'NP') return { prefixClasses: 0b0001, mandatoryPrefix: PrefixClass.NONE };
  if (prefix === 'NFx') return { prefixClasses: 0b0011, mandatoryPrefix: -1 };
  return { prefixClasses: 1 << CLASSES[prefix], mandatoryPrefix: CLASSES[prefix] };
}

function parseVex(match: RegExpExecArray): Encoding {
  const [, prefix, map, w, opcode, digit] = match;
  return {
    ...prefixClassesOf(prefix ?? 'NP'),
    map: VEX_MAPS[map],
    opcode: parseInt(opcode, 16),
    registerInOpcode: false,
    w: w === undefined ? -1 : Number(w[1]),
    digit: digit === undefined ? -1 : Number(digit),
    modrm: -1,
    modrmCount: 0,
    form: undefined,
  };
}

function parseEncoding(encoding: string): Encoding {
  const vex = VEX.exec(encoding);
  if (vex) return parseVex(vex);
  const match = LEGACY.exec(encoding);
  assert(match, `opcode encoding ${encoding}`);
  const [, prefix, w, map, opcode, plusR, digit, modrm, plusI, form] = match;
  return {
    ...prefixClassesOf(prefix),
    map: map === undefined ? OpcodeMap.ONE_BYTE : LEGACY_MAPS[map],
    opcode: parseInt(opcode, 16),
    registerInOpcode: plusR !== undefined,
    w: w === undefined ? -1 : 1,
    digit: digit === undefined ? -1 : Number(digit),
    modrm: modrm === undefined ? -1 : parseInt(modrm, 16),
    modrmCount: modrm === undefined ? 0 : plusI === undefined ? 1 : 8,
    form,
  };
}

const IN_MODRM = new Set<number>(
  Array.from('CDEGMNPQRSUVW', (letter) => Addressing[letter as keyof typeof Addressing]),
);
const REGISTER_ONLY = new Set<number>([Addressing.R, Addressing.N, Addressing.U]);

function modOf(encoding: Encoding, operands: readonly OperandForm[], modIgnored: boolean): OpcodeRow['mod'] {
  if (encoding.modrm >= 0 || encoding.form === 'reg') return 'register';
  if (encoding.form === 'mem' || operands.some((operand) => operand.addressing === Addressing.M)) return 'memory';
  return !modIgnored && operands.some((operand) => REGISTER_ONLY.has(operand.addressing)) ? 'register' : 'any';
}

/** One row of the opcode table. `operands` are separated by spaces; the id is given by the table. */
export function row(encoding: string, mnemonic: string, operands = '', attributes: OpcodeAttributes = {}): OpcodeRow {
  const parsed = parseEncoding(encoding);
  const forms = operands === '' ? [] : operands.split(' ').map(parseOperand);
  const ends = attributes.vmx !== undefined || attributes.privileged === true;
  return {
    id: -1,
    encoding,
    mnemonic,
    operandText: operands,
    operands: forms,
    map: parsed.map,
    opcode: parsed.opcode,
    registerInOpcode: parsed.registerInOpcode,
    prefixClasses: parsed.prefixClasses,
    mandatoryPrefix: parsed.mandatoryPrefix,
    w: parsed.w,
    hasModrm: parsed.modrm >= 0 || parsed.digit >= 0 || forms.some((form) => IN_MODRM.has(form.addressing)),
    mod: modOf(parsed, forms, attributes.modIgnored === true),
    digit: parsed.digit,
    modrm: parsed.modrm,
    modrmCount: parsed.modrmCount,
    lock: attributes.lock === true,
    default64: attributes.default64 === true,
    force64: attributes.force64 === true,
    no64: attributes.no64 === true,
    only64: attributes.only64 === true,
    protectedMode: attributes.protectedMode === true,
    privileged: attributes.privileged === true,
    modIgnored: attributes.modIgnored === true,
    feature: attributes.feature,
    vmx: attributes.vmx,
    blockEnd: attributes.blockEnd ?? (ends ? 'system' : 'none'),
    repeat: attributes.repeat ?? 'none',
    bySize: attributes.bySize?.split(' '),
    byAddressSize: attributes.byAddressSize?.split(' '),
  };
}
