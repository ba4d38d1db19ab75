// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { QemuSettings } from './settings.ts';
import { parseSwitch, splitAtCommas } from './values.ts';

interface ModelRow {
  readonly pattern: RegExp;
  /** For `-cpu help`. */
  readonly name: string;
  readonly says: string;
  readonly vmx: boolean;
  readonly profile?: 'paper' | 'modern';
}

// The machine has one processor, whatever it is called; the name decides about VMX.
// prettier-ignore
const MODELS: readonly ModelRow[] = [
  { name: 'modern',  pattern: /^modern(-1)?$/,        says: 'with the VT-x of today',                     vmx: true, profile: 'modern' },
  { name: 'paper',   pattern: /^paper(-1)?$/,         says: 'with the VT-x of 2010',                      vmx: true, profile: 'paper' },
  { name: 'max',     pattern: /^max$/,                says: 'all that the machine has',                   vmx: true },
  { name: 'host',    pattern: /^host$/,               says: 'the same',                                   vmx: true },
  { name: 'base',    pattern: /^base$/,               says: 'without VT-x unless +vmx',                   vmx: false },
  { name: 'qemu64',  pattern: /^(qemu|kvm)(32|64)(-v\d+)?$/, says: 'also qemu32, kvm64, kvm32; without VT-x unless +vmx', vmx: false },
  { name: 'Haswell', pattern: /^(486|pentium[23]?|core2duo|n270|coreduo|Conroe|Penryn|Nehalem|Westmere|SandyBridge|IvyBridge|Haswell|Broadwell|Skylake-(Client|Server)|Cascadelake-Server|Cooperlake|Icelake-Server|SapphireRapids|Snowridge|Denverton|KnightsMill|Opteron_G[1-5]|EPYC(-Rome|-Milan)?|athlon|phenom)(-IBRS|-IBPB|-noTSX|-noTSX-IBRS)?(-v\d+)?$/, says: "also QEMU's other models: accepted, all the same here", vmx: false },
];

/** Properties of QEMU's processors that are no features, and change nothing here. */
const PROPERTIES =
  /^(vendor|phys-bits|host-phys-bits|host-phys-bits-limit|migratable|check|enforce|family|model|stepping|model-id|level|xlevel|min-level|kvm|pmu|l3-cache|tsc-frequency|hv[-_].*)$/;

/** `-cpu NAME,+x,-x,x=on`. */
export function applyCpu(text: string, settings: QemuSettings): void {
  const [name = '', ...edits] = splitAtCommas(text);
  if (name === 'help' || name === '?') return void (settings.print = modelList());
  const model = findModel(name);
  if (model.profile === undefined && !['max', 'host', 'base'].includes(name)) {
    settings.notices.add(`-cpu ${name}: there is one processor model; only features (+x, -x) change it`);
  }
  settings.cpuModel = name;
  settings.profile ??= model.profile;
  settings.vmx ??= model.vmx;
  for (const edit of edits) applyEdit(edit, settings);
}

function applyEdit(edit: string, settings: QemuSettings): void {
  const [, sign, name = '', value] = /^([+-]?)([^=]*)(?:=(.*))?$/.exec(edit)!;
  if (name === 'vmx') {
    settings.vmx = sign === '-' ? false : parseSwitch('-cpu', name, value ?? 'on');
  } else if (PROPERTIES.test(name)) {
    settings.notices.add(`-cpu property ${name}: it changes nothing here`);
  } else {
    if (value !== undefined) parseSwitch('-cpu', name, value);
    settings.cpuFeatures.push(edit);
  }
}

function findModel(name: string): ModelRow {
  const found = MODELS.find(({ pattern }) => pattern.test(name));
  if (found !== undefined) return found;
  throw new UserError(`unable to find CPU model '${name}'`, '-cpu help lists what there is');
}

function modelList(): string {
  return `Available CPUs:\n${MODELS.map(({ name, says }) => `x86 ${name.padEnd(10)} ${says}\n`).join('')}`;
}
