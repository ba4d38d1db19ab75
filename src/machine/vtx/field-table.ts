// SPDX-License-Identifier: Apache-2.0
import { MISC, fieldExists } from '../../arch/vmx/capabilities.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { FIELDS } from '../../arch/vmx/fields.ts';

/** Kinds of field, as VMREAD and VMWRITE treat them. */
export const FIELD_KIND = { u16: 1, u32: 2, natural: 3, u64: 4 } as const;

/** Encodings lie below 8000H; two access types share an entry. */
const ENTRIES = 0x4000;

/**
 * The fields of one processor, for VMREAD and VMWRITE: an encoding is looked up in two arrays.
 * See: SDM 25.11.2 VMREAD, VMWRITE, and Encodings of VMCS Fields
 */
export class FieldTable {
  /** Byte offset in the region by encoding >> 1; 0 where there is no field. */
  private readonly offsets = new Uint16Array(ENTRIES);
  /** FIELD_KIND by encoding >> 1. */
  private readonly kinds = new Uint8Array(ENTRIES);
  private readonly readOnly = new Uint8Array(ENTRIES);

  constructor(capabilities: VmxCapabilities) {
    const writesAll = extract(MISC.VMWRITE_ANY_FIELD, capabilities.IA32_VMX_MISC?.low ?? 0) !== 0;
    for (const field of FIELDS) {
      if (!fieldExists(capabilities, field)) continue;
      const entry = field.encoding >> 1;
      this.offsets[entry] = field.offset;
      this.kinds[entry] = FIELD_KIND[field.width];
      this.readOnly[entry] = field.access === 'ro' && !writesAll ? 1 : 0;
    }
  }

  /** Byte offset of the field in the region, or 0 when the encoding (unsigned 32 bits) names none. */
  offset(encoding: number): number {
    if (encoding >= 0x8000) return 0;
    const entry = encoding >> 1;
    return (encoding & 1) !== 0 && this.kinds[entry] !== FIELD_KIND.u64 ? 0 : this.offsets[entry];
  }
  kind(encoding: number): number {
    return this.kinds[encoding >> 1];
  }
  isReadOnly(encoding: number): boolean {
    return this.readOnly[encoding >> 1] !== 0;
  }
}
