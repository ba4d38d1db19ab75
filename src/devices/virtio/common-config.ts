// SPDX-License-Identifier: Apache-2.0
import type { VirtioPci } from './pci-transport.ts';
import type { Virtqueue } from './queue.ts';

interface CommonRegister {
  readonly offset: number;
  readonly width: 1 | 2 | 4;
  readonly name: string;
  readonly read: (transport: VirtioPci) => number;
  readonly write?: (transport: VirtioPci, value: number) => void;
}

type Area = 'desc' | 'driver' | 'device';

/** A register of the queue that queue_select names; without such a queue it reads 0. */
function queueRegister(
  offset: number,
  name: string,
  read: (queue: Virtqueue) => number,
  write: (transport: VirtioPci, queue: Virtqueue, value: number) => void,
): CommonRegister {
  return {
    offset,
    width: 2,
    name,
    read: ({ selectedQueue }) => (selectedQueue === undefined ? 0 : read(selectedQueue)),
    write: (transport, value) => {
      if (transport.selectedQueue !== undefined) write(transport, transport.selectedQueue, value);
    },
  };
}

/** One half of an area's address; it stays once the queue is enabled. */
function areaRegister(offset: number, name: string, area: Area, half: 0 | 1): CommonRegister {
  return {
    offset,
    width: 4,
    name,
    read: ({ selectedQueue }) => selectedQueue?.state[area][half] ?? 0,
    write: ({ selectedQueue }, value) => {
      if (selectedQueue?.state.enabled === 0) selectedQueue.state[area][half] = value;
    },
  };
}

function setSize(transport: VirtioPci, queue: Virtqueue, size: number): void {
  if (queue.state.enabled === 0) transport.setQueueSize(queue, size);
}

function setEnable(transport: VirtioPci, queue: Virtqueue, value: number): void {
  if (value === 1 && queue.state.enabled === 0) transport.enableQueue(queue);
}

function setDriverFeatures({ state, featuresOpen }: VirtioPci, value: number): void {
  if (featuresOpen && state.driverFeatureSelect < 2) state.driverFeatures[state.driverFeatureSelect] = value;
}

/** See: VIRTIO 4.1.4.3 Common configuration structure layout. */
// prettier-ignore
const COMMON_REGISTERS: readonly CommonRegister[] = [
  { offset: 0x00, width: 4, name: 'device_feature_select', read: (t) => t.state.deviceFeatureSelect, write: (t, v) => { t.state.deviceFeatureSelect = v; } },
  { offset: 0x04, width: 4, name: 'device_feature',        read: (t) => t.offered[t.state.deviceFeatureSelect] ?? 0 },
  { offset: 0x08, width: 4, name: 'driver_feature_select', read: (t) => t.state.driverFeatureSelect, write: (t, v) => { t.state.driverFeatureSelect = v; } },
  { offset: 0x0c, width: 4, name: 'driver_feature',        read: (t) => t.state.driverFeatures[t.state.driverFeatureSelect] ?? 0, write: setDriverFeatures },
  { offset: 0x10, width: 2, name: 'config_msix_vector',    read: (t) => t.state.configVector,        write: (t, v) => { t.state.configVector = t.validVector(v); } },
  { offset: 0x12, width: 2, name: 'num_queues',            read: (t) => t.queues.length },
  { offset: 0x14, width: 1, name: 'device_status',         read: (t) => t.state.status,              write: (t, v) => t.setStatus(v) },
  { offset: 0x15, width: 1, name: 'config_generation',     read: (t) => t.state.configGeneration },
  { offset: 0x16, width: 2, name: 'queue_select',          read: (t) => t.state.queueSelect,         write: (t, v) => { t.state.queueSelect = v; } },
  queueRegister(0x18, 'queue_size',        (q) => q.state.size,    setSize),
  queueRegister(0x1a, 'queue_msix_vector', (q) => q.state.vector,  (t, q, v) => { q.state.vector = t.validVector(v); }),
  queueRegister(0x1c, 'queue_enable',      (q) => q.state.enabled, setEnable),
  { offset: 0x1e, width: 2, name: 'queue_notify_off',      read: (t) => (t.selectedQueue ? t.state.queueSelect : 0) },
  areaRegister(0x20, 'queue_desc',      'desc',   0),
  areaRegister(0x24, 'queue_desc',      'desc',   1),
  areaRegister(0x28, 'queue_driver',    'driver', 0),
  areaRegister(0x2c, 'queue_driver',    'driver', 1),
  areaRegister(0x30, 'queue_device',    'device', 0),
  areaRegister(0x34, 'queue_device',    'device', 1),
];

/** Any width and alignment reads; what lies beyond the registers is 0. */
export function readCommon(transport: VirtioPci, offset: number, width: 1 | 2 | 4): number {
  let value = 0;
  for (const register of COMMON_REGISTERS) {
    const shift = register.offset - offset;
    if (shift >= width || shift + register.width <= 0) continue;
    const whole = register.read(transport);
    const from = shift >= 0 ? whole : Math.floor(whole / 2 ** (-8 * shift));
    const at = Math.max(shift, 0);
    value += (from % 2 ** (8 * (width - at))) * 2 ** (8 * at);
  }
  return value;
}

/** A write reaches the registers that lie within it; a part of a register cannot be written. */
export function writeCommon(transport: VirtioPci, offset: number, width: 1 | 2 | 4, value: number): void {
  for (const register of COMMON_REGISTERS) {
    const shift = register.offset - offset;
    if (shift < 0 || shift + register.width > width) continue;
    const part = Math.floor(value / 2 ** (8 * shift)) % 2 ** (8 * register.width);
    register.write?.(transport, part);
  }
}
