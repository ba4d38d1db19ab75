// SPDX-License-Identifier: Apache-2.0

/** The registers of the local APIC by index: MMIO offset >> 4, and MSR 800h + index. */
// prettier-ignore
export const APIC = {
  ID:                    0x02,
  VERSION:               0x03,
  TASK_PRIORITY:         0x08,
  ARBITRATION_PRIORITY:  0x09,
  PROCESSOR_PRIORITY:    0x0a,
  END_OF_INTERRUPT:      0x0b,
  REMOTE_READ:           0x0c,
  LOGICAL_DESTINATION:   0x0d,
  DESTINATION_FORMAT:    0x0e,
  SPURIOUS_INTERRUPT:    0x0f,
  IN_SERVICE:            0x10, // 8 registers
  TRIGGER_MODE:          0x18, // 8 registers
  INTERRUPT_REQUEST:     0x20, // 8 registers
  ERROR_STATUS:          0x28,
  INTERRUPT_COMMAND:     0x30,
  INTERRUPT_COMMAND_HIGH: 0x31,
  LVT_TIMER:             0x32,
  LVT_THERMAL:           0x33,
  LVT_PERFORMANCE:       0x34,
  LVT_LINT0:             0x35,
  LVT_LINT1:             0x36,
  LVT_ERROR:             0x37,
  INITIAL_COUNT:         0x38,
  CURRENT_COUNT:         0x39,
  DIVIDE_CONFIGURATION:  0x3e,
  SELF_IPI:              0x3f,
} as const;

export const APIC_REGISTERS = 0x40;

export interface ApicRegister {
  readonly index: number;
  readonly name: string;
  /** Access through memory, and through MSRs: '-' does not exist there. */
  readonly memory: ApicAccess;
  readonly msr: ApicAccess;
  readonly reset: number;
  /** Bits that software can set; the others stay 0, and are reserved to WRMSR. */
  readonly writable: number;
}

type ApicAccess = '-' | 'r' | 'w' | 'rw';

/** Version 14h, six LVT entries, no directed EOI. See: SDM 11.4.8 Local APIC Version Register. */
const APIC_VERSION = 0x0005_0014;
const LVT_MASKED = 0x0001_0000;

/** See: SDM 11.4.1 The Local APIC Block Diagram, and 11.12.1.2 x2APIC Register Address Space. */
// prettier-ignore
const ROWS: readonly (readonly [number, string, ApicAccess, ApicAccess, number, number])[] = [
  // index                     name                                  memory msr   reset         writable
  [ APIC.ID,                   'local APIC ID',                      'r',   'r',  0,            0          ],
  [ APIC.VERSION,              'local APIC version',                 'r',   'r',  APIC_VERSION, 0          ],
  [ APIC.TASK_PRIORITY,        'task priority',                      'rw',  'rw', 0,            0x0000_00ff ],
  [ APIC.ARBITRATION_PRIORITY, 'arbitration priority',               'r',   '-',  0,            0          ],
  [ APIC.PROCESSOR_PRIORITY,   'processor priority',                 'r',   'r',  0,            0          ],
  [ APIC.END_OF_INTERRUPT,     'EOI',                                'w',   'w',  0,            0          ],
  [ APIC.REMOTE_READ,          'remote read',                        'r',   '-',  0,            0          ],
  [ APIC.LOGICAL_DESTINATION,  'logical destination',                'rw',  'r',  0,            0xff00_0000 ],
  [ APIC.DESTINATION_FORMAT,   'destination format',                 'rw',  '-',  0xffff_ffff,  0xf000_0000 ],
  [ APIC.SPURIOUS_INTERRUPT,   'spurious interrupt vector',          'rw',  'rw', 0x0000_00ff,  0x0000_03ff ],
  [ APIC.IN_SERVICE,           'in-service',                         'r',   'r',  0,            0          ],
  [ APIC.TRIGGER_MODE,         'trigger mode',                       'r',   'r',  0,            0          ],
  [ APIC.INTERRUPT_REQUEST,    'interrupt request',                  'r',   'r',  0,            0          ],
  [ APIC.ERROR_STATUS,         'error status',                       'rw',  'rw', 0,            0          ],
  [ APIC.INTERRUPT_COMMAND,    'interrupt command',                  'rw',  'rw', 0,            0x000c_dfff ],
  [ APIC.INTERRUPT_COMMAND_HIGH, 'interrupt command, high',          'rw',  '-',  0,            0xff00_0000 ],
  [ APIC.LVT_TIMER,            'LVT timer',                          'rw',  'rw', LVT_MASKED,   0x0007_00ff ],
  [ APIC.LVT_THERMAL,          'LVT thermal sensor',                 'rw',  'rw', LVT_MASKED,   0x0001_07ff ],
  [ APIC.LVT_PERFORMANCE,      'LVT performance monitoring counters', 'rw', 'rw', LVT_MASKED,   0x0001_07ff ],
  [ APIC.LVT_LINT0,            'LVT LINT0',                          'rw',  'rw', LVT_MASKED,   0x0001_a7ff ],
  [ APIC.LVT_LINT1,            'LVT LINT1',                          'rw',  'rw', LVT_MASKED,   0x0001_a7ff ],
  [ APIC.LVT_ERROR,            'LVT error',                          'rw',  'rw', LVT_MASKED,   0x0001_00ff ],
  [ APIC.INITIAL_COUNT,        'initial count',                      'rw',  'rw', 0,            0xffff_ffff ],
  [ APIC.CURRENT_COUNT,        'current count',                      'r',   'r',  0,            0          ],
  [ APIC.DIVIDE_CONFIGURATION, 'divide configuration',               'rw',  'rw', 0,            0x0000_000b ],
  [ APIC.SELF_IPI,             'self IPI',                           '-',   'w',  0,            0x0000_00ff ],
];

/** How many consecutive registers a row stands for: ISR, TMR and IRR are 256 bits each. */
const repeats = (index: number): number => (index >= APIC.IN_SERVICE && index < APIC.ERROR_STATUS ? 8 : 1);

/** By index; undefined where there is no register. */
export const APIC_REGISTER_TABLE: readonly (ApicRegister | undefined)[] = (() => {
  const table: (ApicRegister | undefined)[] = Array.from({ length: APIC_REGISTERS }, () => undefined);
  for (const [first, name, memory, msr, reset, writable] of ROWS)
    for (let index = first; index < first + repeats(first); index++)
      table[index] = { index, name, memory, msr, reset, writable };
  return table;
})();

// prettier-ignore
export const LVT = {
  VECTOR:          0x0000_00ff,
  DELIVERY_MODE:   0x0000_0700,
  DELIVERY_STATUS: 0x0000_1000, // read only, never set: sending takes no time
  LEVEL_TRIGGERED: 0x0000_8000,
  REMOTE_IRR:      0x0000_4000,
  MASKED:          LVT_MASKED,
  TIMER_MODE:      0x0006_0000,
} as const;

export const SPURIOUS_APIC_ENABLED = 0x100;

/** See: SDM 11.5.3 Error Handling. */
// prettier-ignore
export const APIC_ERROR = {
  SEND_ILLEGAL_VECTOR:      0x20,
  RECEIVE_ILLEGAL_VECTOR:   0x40,
  ILLEGAL_REGISTER_ADDRESS: 0x80,
} as const;

/**
 * Whether WRMSR may write these halves: bits that are only read are not reserved. `timerModes` is the part of
 * LVT.TIMER_MODE that exists. See: SDM 11.12.1.3 Reserved Bit Checking.
 */
export function reservedBitsClear(row: ApicRegister, low: number, high: number, timerModes: number): boolean {
  if (row.index === APIC.INTERRUPT_COMMAND) return (low & ~row.writable) === 0;
  if (row.index === APIC.LVT_TIMER) {
    const mode = low & LVT.TIMER_MODE;
    if ((mode & ~timerModes) !== 0 || mode === LVT.TIMER_MODE) return false;
  }
  const local = row.index >= APIC.LVT_TIMER && row.index <= APIC.LVT_ERROR;
  const readOnly = local ? LVT.DELIVERY_STATUS | LVT.REMOTE_IRR : 0;
  return high === 0 && (low & ~(row.writable | readOnly)) === 0;
}
