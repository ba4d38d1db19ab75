// SPDX-License-Identifier: Apache-2.0
import type { ProcessorSignals } from '../hardware/processor.ts';
import { type ApicMessage, DELIVERY_MODE } from './lapic-bus.ts';

/** What a message needs of the APIC that it reached. */
export interface MessageTarget {
  readonly softwareEnabled: boolean;
  /** Into the IRR. */
  accept(vector: number, levelTriggered: boolean): void;
  acceptExternal(): void;
}

/**
 * A message arrives at an APIC that is globally enabled: by its delivery mode it becomes an interrupt request or a
 * signal to the processor. False when it was not taken. See: SDM 11.8 Handling Interrupts.
 */
export function receiveMessage(message: ApicMessage, target: MessageTarget, signals: ProcessorSignals): boolean {
  // prettier-ignore
  switch (message.deliveryMode) {
    case DELIVERY_MODE.FIXED:
    case DELIVERY_MODE.LOWEST_PRIORITY:
      if (!target.softwareEnabled) return false;
      target.accept(message.vector, message.levelTriggered);
      break;
    case DELIVERY_MODE.NMI:     signals.nmi(); break;
    case DELIVERY_MODE.INIT:    signals.init(); break;
    case DELIVERY_MODE.STARTUP: signals.startup(message.vector); break;
    case DELIVERY_MODE.EXTINT:  target.acceptExternal(); break;
    default: break; // SMI: this processor has no system management mode
  }
  return true;
}
