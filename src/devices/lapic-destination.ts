// SPDX-License-Identifier: Apache-2.0
import { type ApicBus, type ApicMessage, type ApicReceiver, DELIVERY_MODE, message8 } from './lapic-bus.ts';

/** How a local APIC is addressed. */
export interface ApicAddress {
  readonly x2apicMode: boolean;
  readonly id: number;
  /** The logical destination register as it reads. */
  readonly logicalDestination: number;
  readonly destinationFormat: number;
}

const FLAT_MODEL = 0xf;

/** See: SDM 11.12.10.2 Deriving Logical x2APIC ID from the Local x2APIC ID. */
export const logicalX2apicId = (id: number): number => (((id >>> 4) << 16) | (1 << (id & 0xf))) >>> 0;

/** See: SDM 11.6.2 Determining IPI Destination. */
export function matchesDestination(message: ApicMessage, apic: ApicAddress): boolean {
  const { destination } = message;
  if (message.broadcast) return true;
  if (!message.logical) return destination === (apic.x2apicMode ? apic.id : apic.id & 0xff);
  const own = apic.logicalDestination;
  if (apic.x2apicMode) return destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0;
  if (destination > 0xff) return false;
  if (apic.destinationFormat >>> 28 === FLAT_MODEL) return ((own >>> 24) & destination) !== 0;
  return own >>> 28 === destination >> 4 && ((own >>> 24) & destination & 0xf) !== 0;
}

/** The interrupt command register. See: SDM 11.6.1 Interrupt Command Register (ICR). */
// prettier-ignore
export const COMMAND = {
  WRITABLE:        0x000c_dfff,
  DELIVERY_STATUS: 0x0000_1000, // sending takes no time, so it is never set
  LOGICAL:         0x0000_0800,
  ASSERT:          0x0000_4000,
  LEVEL_TRIGGERED: 0x0000_8000,
} as const;

const SHORTHAND = { NONE: 0, SELF: 1, ALL: 2, ALL_BUT_SELF: 3 } as const;

const deliveryModeOf = (command: number): number => (command >> 8) & 7;
const shorthandOf = (command: number): number => (command >> 18) & 3;
const carriesVector = (deliveryMode: number): boolean => deliveryMode <= DELIVERY_MODE.LOWEST_PRIORITY;

/** See: SDM 11.5.2 Valid Interrupt Vectors. */
export const FIRST_VECTOR = 16;

export const hasIllegalVector = (command: number): boolean =>
  carriesVector(deliveryModeOf(command)) && (command & 0xff) < FIRST_VECTOR;

/** Whether the command interrupts anybody: INIT level de-assert has no effect since the Pentium 4, SMI has none here. */
function isEffective(command: number): boolean {
  const mode = deliveryModeOf(command);
  const deassert = (command & (COMMAND.ASSERT | COMMAND.LEVEL_TRIGGERED)) === COMMAND.LEVEL_TRIGGERED;
  if (mode === DELIVERY_MODE.INIT) return !deassert;
  return carriesVector(mode) || mode === DELIVERY_MODE.NMI || mode === DELIVERY_MODE.STARTUP;
}

/** The message of a command; `high` as written in this mode. IPIs are edge triggered, whatever the trigger mode says. */
function messageOfCommand(command: number, high: number, x2apicMode: boolean): ApicMessage {
  const vector = command & 0xff;
  const deliveryMode = deliveryModeOf(command);
  const logical = (command & COMMAND.LOGICAL) !== 0;
  if (!x2apicMode) return message8(high >>> 24, logical, deliveryMode, vector, false);
  const broadcast = high === 0xffff_ffff;
  return { vector, deliveryMode, logical, destination: high, broadcast, levelTriggered: false };
}

/** Sends what `sender` wrote into its command register, `high` as written in its mode. */
export function sendCommand(
  command: number,
  high: number,
  sender: ApicReceiver & { readonly x2apicMode: boolean },
  bus: ApicBus,
): void {
  if (!isEffective(command)) return;
  const message = messageOfCommand(command, high, sender.x2apicMode);
  const shorthand = shorthandOf(command);
  if (shorthand === SHORTHAND.NONE) bus.deliver(message);
  else if (shorthand === SHORTHAND.SELF) sender.receive(message);
  else bus.deliver({ ...message, broadcast: true }, shorthand === SHORTHAND.ALL_BUT_SELF ? sender : undefined);
}
