// SPDX-License-Identifier: Apache-2.0

/** Random numbers that are the same for the same seed everywhere. */
export class RandomBits {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0;
    for (let i = 0; i < 4; i++) this.word();
  }

  /** 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }
  /** 0 to `n` - 1. */
  below(n: number): number {
    return Math.floor((this.word() / 0x1_0000_0000) * n);
  }
  chance(probability: number): boolean {
    return this.word() < probability * 0x1_0000_0000;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** 32 bits of which few, half or most are 1. */
  some(): number {
    const kind = this.below(4);
    if (kind === 0) return 0;
    if (kind === 1) return (this.word() & this.word() & this.word()) >>> 0;
    return kind === 2 ? this.word() : (this.word() | this.word()) >>> 0;
  }
}
