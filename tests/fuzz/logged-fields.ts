// SPDX-License-Identifier: Apache-2.0
// What the monitor writes down of the VMCS when L2 has left.
import { fieldExists } from '../../src/arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import type { FieldName, VmcsField } from '../../src/arch/vmx/fields.ts';

/** What exits change most; all the rest is looked at where a step asks for it, and at the end of each program. */
const SOME: ReadonlySet<FieldName> = new Set<FieldName>([
  ...(['GUEST_RIP', 'GUEST_RSP', 'GUEST_RFLAGS', 'GUEST_CR0', 'GUEST_CR3', 'GUEST_CR4', 'GUEST_DR7'] as const),
  ...(['GUEST_CS_SELECTOR', 'GUEST_CS_AR_BYTES', 'GUEST_SS_AR_BYTES', 'GUEST_TR_AR_BYTES'] as const),
  ...(['GUEST_INTERRUPTIBILITY_INFO', 'GUEST_ACTIVITY_STATE', 'GUEST_PENDING_DBG_EXCEPTIONS'] as const),
  ...(['VM_ENTRY_INTR_INFO_FIELD', 'VM_ENTRY_CONTROLS', 'GUEST_IA32_EFER'] as const),
]);

export function allFields(capabilities: VmxCapabilities): readonly VmcsField[] {
  return FIELDS.filter((field) => fieldExists(capabilities, field));
}

/** Exit information, and what exits change most. */
export function someFields(capabilities: VmxCapabilities): readonly VmcsField[] {
  return allFields(capabilities).filter(({ name, area }) => area === 'exitInformation' || SOME.has(name));
}
