// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort } from '../../hardware/memory.ts';
import type { DescriptorChain } from './chain.ts';
import type { Problem } from './problems.ts';

/** Where a device gives requests back, at once or at a later virtual time. */
export interface Completions {
  complete(queue: number, head: number, written: number): void;
}

/** What is behind a transport: one type of virtio device. It keeps no state of its own beyond its store or source. */
export interface VirtioDevice {
  /** For messages: virtio-blk. */
  readonly name: string;
  /** See: VIRTIO 5 Device Types. */
  readonly deviceId: number;
  /** PCI class, sub-class and interface. */
  readonly classCode: number;
  /** The largest size of each queue. */
  readonly queueSizes: readonly number[];
  /** Bits of the device's own features. */
  readonly features: readonly number[];
  /** Device configuration as the driver reads it. */
  readonly config: Uint8Array;
  /** Serves a request and completes it, or says why it cannot be one. `memory` reaches the chain's buffers. */
  request(queue: number, chain: DescriptorChain, memory: BusMasterPort, completions: Completions): Problem | undefined;
}
