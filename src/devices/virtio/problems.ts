// SPDX-License-Identifier: Apache-2.0

/** What a driver can do wrong so that the device needs a reset. 0 in a device's state means nothing is wrong. */
// prettier-ignore
const ROWS = [
  { number: 1,  name: 'FEATURES',         sentence: 'the driver accepted features that were not offered, or not VIRTIO_F_VERSION_1' },
  { number: 2,  name: 'QUEUE_SIZE',       sentence: 'queue_size is not a power of two up to the size offered' },
  { number: 3,  name: 'QUEUE_ADDRESS',    sentence: 'a part of the virtqueue is misaligned or beyond 52 address bits' },
  { number: 4,  name: 'AVAIL_INDEX',      sentence: 'the available ring moved on by more than the queue size' },
  { number: 5,  name: 'HEAD_INDEX',       sentence: 'an entry of the available ring is not below the queue size' },
  { number: 6,  name: 'NEXT_INDEX',       sentence: 'a descriptor is chained to one beyond its table' },
  { number: 7,  name: 'CHAIN_LOOP',       sentence: 'a descriptor chain is longer than its table' },
  { number: 8,  name: 'CHAIN_LENGTH',     sentence: 'the buffers of a descriptor chain are 4 GiB or more' },
  { number: 9,  name: 'CHAIN_ORDER',      sentence: 'a device-readable descriptor follows a device-writable one' },
  { number: 10, name: 'BUFFER_ADDRESS',   sentence: 'a descriptor points beyond 52 address bits' },
  { number: 11, name: 'INDIRECT_REFUSED', sentence: 'a descriptor is indirect without VIRTIO_F_INDIRECT_DESC, or within an indirect table' },
  { number: 12, name: 'INDIRECT_TABLE',   sentence: 'an indirect descriptor is chained, or its table is not whole descriptors' },
  { number: 13, name: 'REQUEST_FRAMING',  sentence: 'a request lacks room for its header or its answer' },
] as const;

export type ProblemName = (typeof ROWS)[number]['name'];
/** A number of the table above. */
export type Problem = (typeof ROWS)[number]['number'];

export const PROBLEM = Object.fromEntries(ROWS.map((row) => [row.name, row.number])) as Readonly<
  Record<ProblemName, Problem>
>;

/** The sentence for a problem of a device's state, or undefined for 0. */
export function problemSentence(problem: number): string | undefined {
  return ROWS.find((row) => row.number === problem)?.sentence;
}
