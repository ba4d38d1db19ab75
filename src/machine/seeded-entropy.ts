// SPDX-License-Identifier: Apache-2.0
import type { EntropySource } from '../hardware/ports.ts';

/** Random bytes that repeat with the seed: a byte from each step of the Mulberry32 generator. */
export class SeededEntropy implements EntropySource {
  /** The generator's whole state. */
  state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.next();
  }

  private next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let word = this.state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return (word ^ (word >>> 14)) >>> 24;
  }
}
