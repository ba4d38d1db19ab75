// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort, PhysicalAddress } from '../../hardware/memory.ts';
import { readLittleEndian, writeLittleEndian } from '../bus-width.ts';
import { ADDRESS_HIGH_LIMIT, walkChain } from './chain.ts';
import type { DescriptorChain } from './chain.ts';
import { PROBLEM } from './problems.ts';
import type { Problem } from './problems.ts';

export const NO_VECTOR = 0xffff;
const AVAIL_F_NO_INTERRUPT = 1;

/** See: VIRTIO 2.7 Split Virtqueues: where idx and the ring lie in the available and the used part. */
const INDEX = 2;
const RING = 4;
const AVAIL_ENTRY_BYTES = 2;
const USED_ENTRY_BYTES = 8;

/** What the driver negotiated for its queues. */
export interface QueueFeatures {
  readonly indirect: boolean;
  readonly eventIndex: boolean;
}

export type QueueState = {
  size: number;
  vector: number;
  enabled: number;
  /** Low and high halves of the descriptor area's, driver area's and device area's addresses. */
  desc: Uint32Array;
  driver: Uint32Array;
  device: Uint32Array;
  /** The available ring's index up to which requests were taken. */
  taken: number;
  /** The used ring's index. */
  used: number;
  /** `used` when the driver's wish for interrupts was last looked at. */
  signalled: number;
};

export function resetQueueState(size: number): QueueState {
  const address = (): Uint32Array => new Uint32Array(2);
  return {
    size,
    vector: NO_VECTOR,
    enabled: 0,
    desc: address(),
    driver: address(),
    device: address(),
    taken: 0,
    used: 0,
    signalled: 0,
  };
}

function areaAddress(halves: Uint32Array): PhysicalAddress {
  return halves[0] + halves[1] * 2 ** 32;
}

/** The device's side of a split virtqueue. */
export class Virtqueue {
  readonly state: QueueState;
  /** The size offered. */
  readonly maximum: number;
  readonly #memory: BusMasterPort;
  readonly #word = new Uint8Array(2);

  constructor(maximum: number, memory: BusMasterPort) {
    this.maximum = maximum;
    this.state = resetQueueState(maximum);
    this.#memory = memory;
  }

  /** Why the queue cannot be enabled as the driver set it up. See: VIRTIO 2.7 Split Virtqueues (alignment). */
  setupProblem(): Problem | undefined {
    const { desc, driver, device } = this.state;
    const low = [desc, driver, device].every((halves) => halves[1] < ADDRESS_HIGH_LIMIT);
    return low && desc[0] % 16 === 0 && driver[0] % 2 === 0 && device[0] % 4 === 0 ? undefined : PROBLEM.QUEUE_ADDRESS;
  }

  /** Takes the next request; undefined when there is none, and the driver is then asked to notify of more. */
  take(features: QueueFeatures): DescriptorChain | Problem | undefined {
    const { state } = this;
    const driver = areaAddress(state.driver);
    const waiting = (this.#read16(driver + INDEX) - state.taken) & 0xffff;
    if (waiting > state.size) return PROBLEM.AVAIL_INDEX;
    if (waiting === 0) {
      if (features.eventIndex) this.#write16(this.#availEvent(), state.taken);
      return undefined;
    }
    const head = this.#read16(driver + RING + AVAIL_ENTRY_BYTES * (state.taken % state.size));
    if (head >= state.size) return PROBLEM.HEAD_INDEX;
    state.taken = (state.taken + 1) & 0xffff;
    return walkChain(this.#memory, areaAddress(state.desc), state.size, head, features.indirect);
  }

  /** Gives a request back, `written` bytes into its writable buffers. The order need not be that of taking. */
  complete(head: number, written: number): void {
    const { state } = this;
    const device = areaAddress(state.device);
    const entry = new Uint8Array(USED_ENTRY_BYTES);
    writeLittleEndian(entry, 0, 4, head);
    writeLittleEndian(entry, 4, 4, written);
    this.#memory.write(device + RING + USED_ENTRY_BYTES * (state.used % state.size), entry);
    state.used = (state.used + 1) & 0xffff;
    this.#write16(device + INDEX, state.used);
  }

  /**
   * Whether the driver wants an interrupt for what was completed since the last call.
   * See: VIRTIO 2.7.7 Used Buffer Notification Suppression.
   */
  wantsInterrupt(features: QueueFeatures): boolean {
    const { state } = this;
    const completed = (state.used - state.signalled) & 0xffff;
    state.signalled = state.used;
    if (completed === 0) return false;
    const driver = areaAddress(state.driver);
    if (!features.eventIndex) return (this.#read16(driver) & AVAIL_F_NO_INTERRUPT) === 0;
    const usedEvent = this.#read16(driver + RING + AVAIL_ENTRY_BYTES * state.size);
    return ((state.used - usedEvent - 1) & 0xffff) < completed;
  }

  #availEvent(): PhysicalAddress {
    return areaAddress(this.state.device) + RING + USED_ENTRY_BYTES * this.state.size;
  }

  #read16(address: PhysicalAddress): number {
    this.#memory.read(address, this.#word);
    return readLittleEndian(this.#word, 0, 2);
  }

  #write16(address: PhysicalAddress, value: number): void {
    writeLittleEndian(this.#word, 0, 2, value);
    this.#memory.write(address, this.#word);
  }
}
