// SPDX-License-Identifier: Apache-2.0
// VMREAD and VMWRITE by L1, where they exit. See: SDM 25.11.2 VMREAD, VMWRITE, and Encodings of VMCS Fields

import { extract } from '../../arch/vmx/bit-field.ts';
import { fieldExists, miscOf } from '../../arch/vmx/capabilities.ts';
import { fieldOfEncoding } from '../../arch/vmx/fields.ts';
import type { VmcsField } from '../../arch/vmx/fields.ts';
import { INSTRUCTION_INFORMATION } from '../../arch/vmx/instruction-information.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { readOperand, writeOperand } from './operand.ts';
import { failInvalid, failValid, succeed } from './outcome.ts';

const LAYOUT = INSTRUCTION_INFORMATION.VMREAD_VMWRITE;
const data: Halves = { low: 0, high: 0 };

/** The field that the second register names, or undefined: there is none, or it does not exist on this processor. */
function namedField(
  nested: NestedVcpu,
  information: number,
): { readonly field: VmcsField; readonly upper: boolean } | undefined {
  const { vcpu, shown } = nested;
  const encoding: Halves = { low: 0, high: 0 };
  vcpu.readGeneral(extract(LAYOUT.REGISTER_2, information), encoding);
  if (vcpu.code64 && encoding.high !== 0) return undefined;
  const field = fieldOfEncoding(encoding.low);
  if (field === undefined || !fieldExists(shown, field)) return undefined;
  return { field, upper: (encoding.low & 1) !== 0 };
}

export function vmread(nested: NestedVcpu, information: number): void {
  const { vcpu, vmcs12 } = nested;
  if (!vmcs12.isCurrent) return failInvalid(vcpu);
  const named = namedField(nested, information);
  if (named === undefined) return failValid(nested, 'UNSUPPORTED_VMCS_COMPONENT');
  const { offset } = named.field;
  data.low = named.upper ? vmcs12.high(offset) : vmcs12.low(offset);
  data.high = named.upper || !vcpu.code64 ? 0 : vmcs12.high(offset);
  if (extract(LAYOUT.MEMORY_OR_REGISTER, information) === 1)
    vcpu.writeGeneral(extract(LAYOUT.REGISTER_1, information), data.low, data.high);
  else if (!writeOperand(vcpu, information, bytesOfData(vcpu.code64))) return;
  succeed(vcpu);
}

export function vmwrite(nested: NestedVcpu, information: number): void {
  const { vcpu, vmcs12, shadow, shown } = nested;
  if (!vmcs12.isCurrent) return failInvalid(vcpu);
  if (!readData(nested, information)) return;
  const named = namedField(nested, information);
  if (named === undefined) return failValid(nested, 'UNSUPPORTED_VMCS_COMPONENT');
  const { field, upper } = named;
  if (field.access === 'ro' && miscOf(shown, 'VMWRITE_ANY_FIELD') === 0)
    return failValid(nested, 'VMWRITE_READ_ONLY_VMCS_COMPONENT');
  if (upper) vmcs12.change(field.offset, vmcs12.low(field.offset), data.low);
  else if (field.width === 'natural' || field.width === 'u64') vmcs12.change(field.offset, data.low, data.high);
  else vmcs12.change(field.offset, field.width === 'u16' ? data.low & 0xffff : data.low, 0);
  nested.recording.wrote(nested, field.offset);
  shadow?.written(vmcs12, field.offset);
  succeed(vcpu);
}

/** What VMWRITE writes: 64 bits in 64-bit mode, else 32; false: an exception was raised. */
function readData({ vcpu }: NestedVcpu, information: number): boolean {
  if (extract(LAYOUT.MEMORY_OR_REGISTER, information) === 1) {
    vcpu.readGeneral(extract(LAYOUT.REGISTER_1, information), data);
  } else {
    const bytes = new Uint8Array(vcpu.code64 ? 8 : 4);
    if (!readOperand(vcpu, information, bytes)) return false;
    const view = new DataView(bytes.buffer);
    data.low = view.getUint32(0, true);
    data.high = bytes.length === 8 ? view.getUint32(4, true) : 0;
  }
  if (!vcpu.code64) data.high = 0;
  return true;
}

function bytesOfData(wide: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(wide ? 8 : 4));
  view.setUint32(0, data.low, true);
  if (wide) view.setUint32(4, data.high, true);
  return new Uint8Array(view.buffer);
}
