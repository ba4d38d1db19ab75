// SPDX-License-Identifier: Apache-2.0
import { copyState, restoreState } from './bus-state.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { ByteWideDevice, writeLittleEndian } from './bus-width.ts';
import { PciFunction } from './pci-function.ts';

const MEMORY_BYTES = 0x1000;
const IO_BYTES = 0x100;

/** Fields of the header at the start of each BAR. See: QEMU docs/specs/pci-testdev. */
const HEADER = { test: 0, width: 1, offset: 4, data: 8, count: 12, name: 16 } as const;

/** An eventfd takes the writes it waits for, so that the device does not count them. */
type Eventfd = 'none' | 'any data' | 'matching data';

interface TestRow {
  readonly name: string;
  readonly eventfd: Eventfd;
  /** What to write in the test. */
  readonly data: number;
}

// prettier-ignore
const TESTS: readonly TestRow[] = [
  { name: 'no-eventfd',        eventfd: 'none',          data: 0xfa },
  { name: 'wildcard-eventfd',  eventfd: 'any data',      data: 0xce },
  { name: 'datamatch-eventfd', eventfd: 'matching data', data: 0xfa },
];

/** A BAR; `test` is that of its row of TESTS, or NO_TEST. Writes go to the second half of it, a byte for each test. */
// prettier-ignore
const BARS = [
  { index: 0, kind: 'memory32', size: MEMORY_BYTES, name: 'mmio',   firstTest: 0 },
  { index: 1, kind: 'io',       size: IO_BYTES,     name: 'portio', firstTest: TESTS.length },
] as const;
const NO_TEST = 0xff;

/** Both BARs share the test in progress, a number over the tests of both. */
export type PciTestState = { current: number; counts: Uint32Array };

/** QEMU's pci-testdev, for kvm-unit-tests: counts the writes of a chosen test. */
export class PciTestDevice implements Stateful {
  readonly state: PciTestState = { current: NO_TEST, counts: new Uint32Array(BARS.length * TESTS.length) };
  readonly function: PciFunction;

  constructor() {
    this.function = new PciFunction({
      name: 'pci-testdev',
      identity: {
        vendor: 0x1b36,
        device: 0x0005,
        revision: 0,
        classCode: 0x00_ff00,
        subsystemVendor: 0x1af4,
        subsystem: 0x1100,
      },
      bars: BARS.map(({ index, kind, size, firstTest }) => ({
        index,
        kind,
        size,
        device: new PciTestBar(this.state, firstTest),
      })),
    });
  }

  reset(): void {
    this.state.current = NO_TEST;
    this.state.counts.fill(0);
  }

  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
  }
}

/** Where a test's writes go. */
function writeOffset(test: number): number {
  return BARS[Math.floor(test / TESTS.length)].size / 2 + test;
}

/** The header with its name, NUL-terminated. */
function headerOf(test: number, count: number): Uint8Array {
  const bar = BARS[Math.floor(test / TESTS.length)];
  const name = `${bar.name}-${TESTS[test % TESTS.length].name}`;
  const header = new Uint8Array(HEADER.name + name.length + 1);
  header[HEADER.test] = test;
  header[HEADER.width] = 1;
  writeLittleEndian(header, HEADER.offset, 4, writeOffset(test));
  header[HEADER.data] = TESTS[test % TESTS.length].data;
  writeLittleEndian(header, HEADER.count, 4, count);
  for (let index = 0; index < name.length; index++) header[HEADER.name + index] = name.charCodeAt(index);
  return header;
}

class PciTestBar extends ByteWideDevice {
  readonly #state: PciTestState;
  readonly #firstTest: number;

  constructor(state: PciTestState, firstTest: number) {
    super();
    this.#state = state;
    this.#firstTest = firstTest;
  }

  override readByte(offset: number): number {
    const { current, counts } = this.#state;
    return current === NO_TEST ? 0 : (headerOf(current, counts[current])[offset] ?? 0);
  }

  /** The test register starts a test of this BAR; a number without one stops it. */
  override writeByte(offset: number, value: number): void {
    if (offset === HEADER.test) this.#start(value);
    else this.#count(offset, value);
  }

  #start(number: number): void {
    const state = this.#state;
    state.current = number < TESTS.length ? this.#firstTest + number : NO_TEST;
    if (state.current !== NO_TEST) state.counts[state.current] = 0;
  }

  #count(offset: number, value: number): void {
    const { current, counts } = this.#state;
    if (current === NO_TEST || offset !== writeOffset(current)) return;
    const { eventfd, data } = TESTS[current % TESTS.length];
    if (eventfd === 'none' && value === data) counts[current]++;
  }
}
