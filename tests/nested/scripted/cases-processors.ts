// SPDX-License-Identifier: Apache-2.0
// Table: L2 in wait-for-SIPI. A processor cannot send itself a start-up IPI then, so L1 has a second one, which begins in
// real-address mode. A profile without unrestricted guest has only one under L0: there they come from outside.
import { BOTH, ICR, MODERN, VMCALL, X2APIC, finish, goTo, launch, msr, resume, set, store, x2apic } from './case.ts';
import type { Case } from './case.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';

const TRAMPOLINE = 0x10000;
const [SHUTDOWN, WAIT_FOR_SIPI] = [2, 3];
const SECOND = 1n << 32n;
/** x2APIC mode; after a while two start-up IPIs for processor 0, the second when L2 no longer waits. */
const SECOND_PROCESSOR = `
fa 66 b9 1b 00 00 00 0f 32 66 0d 00 0c 00 00 0f 30
66 b9 50 c3 00 00 66 49 75 fc
66 b9 30 08 00 00 66 b8 9a 46 00 00 66 31 d2 0f 30
66 b9 50 c3 00 00 66 49 75 fc
66 b9 30 08 00 00 66 b8 9b 46 00 00 66 31 d2 0f 30
f4 eb fd`;

/** L1 writes the bytes, eight at a time. */
function write(address: number, hex: string): Operation[] {
  const bytes = hex.trim().split(/\s+/);
  return Array.from({ length: Math.ceil(bytes.length / 8) }, (_, i) =>
    store(
      address + 8 * i,
      BigInt(
        `0x${bytes
          .slice(8 * i, 8 * i + 8)
          .reverse()
          .join('')}`,
      ),
    ),
  );
}

export const PROCESSOR_CASES: readonly Case[] = [
  {
    name: 'a start-up IPI from another processor ends wait-for-SIPI, and is nothing otherwise',
    profiles: MODERN,
    processors: 2,
    l2: `b9 00 00 02 00 e2 fe\n${VMCALL}`,
    script: () => [
      ...[...x2apic, ...write(TRAMPOLINE, SECOND_PROCESSOR)],
      ...[
        msr(X2APIC.ICR, SECOND | BigInt(ICR.INIT)),
        msr(X2APIC.ICR, SECOND | BigInt(ICR.STARTUP | (TRAMPOLINE >> 12))),
      ],
      ...[set('GUEST_ACTIVITY_STATE', WAIT_FOR_SIPI), launch],
      ...[set('GUEST_ACTIVITY_STATE', 0), goTo(AT.L2), resume, finish],
    ],
    exits: ['SIPI_SIGNAL', 'VMCALL'],
  },
  {
    name: 'a start-up IPI from outside ends wait-for-SIPI, and is nothing otherwise',
    profiles: BOTH,
    signals: [
      [50_000, 'start-up IPI'],
      [100_000, 'start-up IPI'],
    ],
    l2: `b9 00 00 02 00 e2 fe\n${VMCALL}`,
    script: () => [
      ...[set('GUEST_ACTIVITY_STATE', WAIT_FOR_SIPI), launch],
      ...[set('GUEST_ACTIVITY_STATE', 0), goTo(AT.L2), resume, finish],
    ],
    exits: ['SIPI_SIGNAL', 'VMCALL'],
  },
  {
    name: 'wait-for-SIPI holds back INIT, and there is no debug exception pending in it',
    profiles: BOTH,
    signals: [
      [50_000, 'INIT'],
      [60_000, 'start-up IPI'],
    ],
    fields: { GUEST_RFLAGS: 0x102, GUEST_PENDING_DBG_EXCEPTIONS: 1 << 14 },
    l2: VMCALL,
    script: () => [
      ...[set('GUEST_ACTIVITY_STATE', WAIT_FOR_SIPI), launch],
      ...[set('GUEST_RFLAGS', 2), set('GUEST_ACTIVITY_STATE', 0), resume, resume, finish],
    ],
    exits: ['SIPI_SIGNAL', 'INIT_SIGNAL', 'VMCALL'],
  },
  {
    name: 'shutdown ends by INIT, and there is no debug exception pending in it',
    profiles: BOTH,
    signals: [[50_000, 'INIT']],
    fields: { GUEST_RFLAGS: 0x102, GUEST_PENDING_DBG_EXCEPTIONS: 1 << 14, GUEST_ACTIVITY_STATE: SHUTDOWN },
    l2: VMCALL,
    script: () => [launch, finish],
    exits: ['INIT_SIGNAL'],
  },
  {
    name: 'shutdown and wait-for-SIPI hold back MTF exits',
    profiles: MODERN,
    signals: [
      [50_000, 'INIT'],
      [100_000, 'start-up IPI'],
    ],
    controls: ['primary.MONITOR_TRAP_FLAG'],
    fields: { GUEST_ACTIVITY_STATE: SHUTDOWN },
    l2: VMCALL,
    script: () => [launch, set('GUEST_ACTIVITY_STATE', WAIT_FOR_SIPI), resume, finish],
    exits: ['INIT_SIGNAL', 'SIPI_SIGNAL'],
  },
];
