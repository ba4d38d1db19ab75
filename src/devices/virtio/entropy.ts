// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort } from '../../hardware/memory.ts';
import type { EntropySource } from '../../hardware/ports.ts';
import { ChainCursor } from './chain.ts';
import type { DescriptorChain } from './chain.ts';
import type { Completions, VirtioDevice } from './device.ts';
import { PROBLEM } from './problems.ts';
import type { Problem } from './problems.ts';

const CHUNK_BYTES = 4096;

/** virtio-rng: fills whatever buffers the driver gives. See: VIRTIO 5.4 Entropy Device. */
export class VirtioEntropy implements VirtioDevice {
  readonly name = 'virtio-rng';
  readonly deviceId = 4;
  readonly classCode = 0x00_ff00;
  readonly queueSizes = [8];
  readonly features = [];
  readonly config = new Uint8Array(0);
  readonly #source: EntropySource;

  constructor(source: EntropySource) {
    this.#source = source;
  }

  request(queue: number, chain: DescriptorChain, memory: BusMasterPort, completions: Completions): Problem | undefined {
    if (chain.writableLength === 0) return PROBLEM.REQUEST_FRAMING;
    const writer = new ChainCursor(memory, chain.writable);
    while (writer.remaining > 0) {
      const bytes = new Uint8Array(Math.min(CHUNK_BYTES, writer.remaining));
      this.#source.fill(bytes);
      writer.write(bytes);
    }
    completions.complete(queue, chain.head, chain.writableLength);
    return undefined;
  }
}
