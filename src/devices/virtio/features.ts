// SPDX-License-Identifier: Apache-2.0

/** Feature bits that every device here offers. See: VIRTIO 6 Reserved Feature Bits. */
// prettier-ignore
export const RESERVED_FEATURES = {
  VIRTIO_F_INDIRECT_DESC:   28,
  VIRTIO_F_EVENT_IDX:       29,
  VIRTIO_F_VERSION_1:       32,
  VIRTIO_F_ACCESS_PLATFORM: 33,
} as const;

/** Features as the two words a driver sees: bits 0 to 31, and 32 to 63. */
export type FeatureWords = Uint32Array;

export function featureWords(bits: readonly number[]): FeatureWords {
  const words = new Uint32Array(2);
  for (const bit of bits) words[bit >> 5] |= 1 << (bit & 31);
  return words;
}

export function hasFeature(words: FeatureWords, bit: number): boolean {
  return ((words[bit >> 5] >>> (bit & 31)) & 1) !== 0;
}

/** Whether `accepted` is something a driver may accept: nothing that was not offered, and VERSION_1. */
export function featuresAcceptable(offered: FeatureWords, accepted: FeatureWords): boolean {
  const subset = (accepted[0] & ~offered[0]) === 0 && (accepted[1] & ~offered[1]) === 0;
  return subset && hasFeature(accepted, RESERVED_FEATURES.VIRTIO_F_VERSION_1);
}
