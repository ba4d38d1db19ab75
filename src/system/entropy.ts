// SPDX-License-Identifier: Apache-2.0
import type { EntropySource } from '../hardware/ports.ts';
import { SeededEntropy } from '../machine/seeded-entropy.ts';

/** Of virtio-rng: another sequence than that of the processors, which begin at the seed itself. */
const VIRTIO_RNG = 0x72_6e_67_00;

export function seededEntropy(seed: number): EntropySource {
  return new SeededEntropy((seed ^ VIRTIO_RNG) >>> 0);
}
