// SPDX-License-Identifier: Apache-2.0

/** IA32_APIC_BASE, the low half. See: SDM 11.4.4 Local APIC Status and Location. */
// prettier-ignore
export const APIC_BASE = {
  BOOTSTRAP: 0x100,
  X2APIC:    0x400,
  ENABLED:   0x800,
  DEFAULT:   0xfee0_0000,
} as const;

const MODE = APIC_BASE.ENABLED | APIC_BASE.X2APIC;
const DISABLED = 0;
const XAPIC = APIC_BASE.ENABLED;
const X2APIC = MODE;
const RESERVED = 0x2ff;

/** See: SDM 11.12.5 x2APIC State Transitions. The invalid mode (X2APIC alone) is in no row. */
// prettier-ignore
const TRANSITIONS: readonly (readonly [number, number])[] = [
  [ DISABLED, DISABLED ], [ DISABLED, XAPIC ],
  [ XAPIC,    DISABLED ], [ XAPIC,    XAPIC ], [ XAPIC,  X2APIC ],
  [ X2APIC,   DISABLED ],                      [ X2APIC, X2APIC ],
];

/** The low half after power-up. */
export const apicBaseAtPowerUp = (bootstrap: boolean): number =>
  (APIC_BASE.DEFAULT | APIC_BASE.ENABLED | (bootstrap ? APIC_BASE.BOOTSTRAP : 0)) >>> 0;

export const apicMode = (baseLow: number): number => baseLow & MODE;

/** Whether WRMSR may write these unsigned halves over a register whose low half is `before`; else it is a #GP. */
export function apicBaseIsValid(
  before: number,
  low: number,
  high: number,
  features: { readonly x2apic: boolean; readonly physicalAddressBits: number },
): boolean {
  const reserved = RESERVED | (features.x2apic ? 0 : APIC_BASE.X2APIC);
  if ((low & reserved) !== 0 || high >= 2 ** (features.physicalAddressBits - 32)) return false;
  return TRANSITIONS.some(([from, to]) => from === apicMode(before) && to === apicMode(low));
}
