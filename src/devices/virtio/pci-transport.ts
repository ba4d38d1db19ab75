// SPDX-License-Identifier: Apache-2.0
import type { MemoryMappedDevice } from '../../hardware/memory.ts';
import { copyState, restoreState } from '../bus-state.ts';
import type { StateRecord, Stateful } from '../bus-state.ts';
import { readLittleEndian, writeLittleEndian } from '../bus-width.ts';
import { PciFunction } from '../pci-function.ts';
import type { ConfigWatcher } from '../pci-function.ts';
import { readCommon, writeCommon } from './common-config.ts';
import type { Completions, VirtioDevice } from './device.ts';
import { RESERVED_FEATURES, featureWords, featuresAcceptable, hasFeature } from './features.ts';
import type { FeatureWords } from './features.ts';
import {
  BAR,
  BAR_BYTES,
  MSIX_BAR,
  NOTIFY_MULTIPLIER,
  PCI_CFG,
  STRUCTURES,
  structureAt,
  virtioCapabilities,
} from './pci-capabilities.ts';
import { PROBLEM, problemSentence } from './problems.ts';
import type { Problem } from './problems.ts';
import { NO_VECTOR, Virtqueue, resetQueueState } from './queue.ts';
import type { QueueFeatures, QueueState } from './queue.ts';

/** See: VIRTIO 2.1 Device Status Field. */
const STATUS_DRIVER_OK = 4;
const STATUS_FEATURES_OK = 8;
const STATUS_DEVICE_NEEDS_RESET = 64;

/** See: VIRTIO 4.1.4.5 ISR status capability. */
const ISR_QUEUE = 1;
const ISR_CONFIGURATION = 2;

const RED_HAT_QUMRANET = 0x1af4;
const MODERN_DEVICE_BASE = 0x1040;
const SUBSYSTEM = 0x1100;

export type VirtioState = {
  deviceFeatureSelect: number;
  driverFeatureSelect: number;
  driverFeatures: Uint32Array;
  configVector: number;
  status: number;
  configGeneration: number;
  queueSelect: number;
  isr: number;
  /** A number of the table in problems.ts, 0 for none: why DEVICE_NEEDS_RESET is set. */
  problem: number;
  queues: QueueState[];
};

/**
 * The modern PCI transport of one virtio device. See: VIRTIO 4.1 Virtio Over PCI Bus.
 * Requests are served within the driver's notification; what a device completes later interrupts then.
 */
export class VirtioPci implements MemoryMappedDevice, ConfigWatcher, Completions, Stateful {
  readonly function: PciFunction;
  readonly device: VirtioDevice;
  readonly state: VirtioState;
  readonly offered: FeatureWords;
  readonly queues: readonly Virtqueue[];
  readonly #pciCfg: number;
  /** Within a notification; completions then interrupt once, at its end. Never true between instructions. */
  #serving = false;

  constructor(device: VirtioDevice) {
    this.device = device;
    this.offered = featureWords([...Object.values(RESERVED_FEATURES), ...device.features]);
    this.function = new PciFunction({
      name: device.name,
      identity: {
        vendor: RED_HAT_QUMRANET,
        device: MODERN_DEVICE_BASE + device.deviceId,
        revision: 1,
        classCode: device.classCode,
        subsystemVendor: RED_HAT_QUMRANET,
        subsystem: SUBSYSTEM,
      },
      interruptPin: 1,
      bars: [{ index: BAR, kind: 'memory32', size: BAR_BYTES, device: this }],
      capabilities: virtioCapabilities(device.queueSizes.length, device.config.length),
      msix: { vectors: device.queueSizes.length + 1, bar: MSIX_BAR },
    });
    this.function.watchConfig(this);
    this.#pciCfg = this.function.capabilityOffsets.at(-1) ?? 0;
    this.queues = device.queueSizes.map((size) => new Virtqueue(size, this.function.memory));
    this.state = { ...resetRegisters(), queues: this.queues.map((queue) => queue.state) };
  }

  readMemory(offset: number, width: 1 | 2 | 4): number {
    const place = structureAt(offset);
    switch (place?.structure) {
      case STRUCTURES.common:
        return readCommon(this, place.offset, width);
      case STRUCTURES.isr:
        return place.offset === 0 ? this.#readIsr() : 0;
      case STRUCTURES.device:
        return this.#readDeviceConfig(place.offset, width);
      default:
        return 0;
    }
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    const place = structureAt(offset);
    if (place?.structure === STRUCTURES.common) writeCommon(this, place.offset, width, value);
    else if (place?.structure === STRUCTURES.notify) this.#notified(Math.floor(place.offset / NOTIFY_MULTIPLIER));
  }

  #readDeviceConfig(offset: number, width: 1 | 2 | 4): number {
    const { config } = this.device;
    return offset + width <= config.length ? readLittleEndian(config, offset, width) : 0;
  }

  /** Reading acknowledges and lowers INTx. */
  #readIsr(): number {
    const { isr } = this.state;
    this.state.isr = 0;
    this.function.setInterrupt(false);
    return isr;
  }

  /** The queue that queue_select names, or undefined beyond the last. */
  get selectedQueue(): Virtqueue | undefined {
    return this.queues[this.state.queueSelect];
  }

  /** Whether features may still be negotiated. */
  get featuresOpen(): boolean {
    return (this.state.status & STATUS_FEATURES_OK) === 0;
  }

  /** Returns the vector, or NO_VECTOR if the function has no such one. */
  validVector(vector: number): number {
    return vector < this.queues.length + 1 ? vector : NO_VECTOR;
  }

  /** A write to device_status: 0 resets; FEATURES_OK stays only if the features will do. */
  setStatus(value: number): void {
    const { state } = this;
    if (value === 0) return this.reset();
    const kept = state.status & STATUS_DEVICE_NEEDS_RESET;
    const newFeatures = value & ~state.status & STATUS_FEATURES_OK;
    const refused = newFeatures && !featuresAcceptable(this.offered, state.driverFeatures);
    state.status = kept | (refused ? value & ~STATUS_FEATURES_OK : value);
  }

  /** A write to queue_size, of a queue not yet enabled. */
  setQueueSize(queue: Virtqueue, size: number): void {
    const powerOfTwo = size > 0 && (size & (size - 1)) === 0;
    if (powerOfTwo && size <= queue.maximum) queue.state.size = size;
    else this.#fail(PROBLEM.QUEUE_SIZE);
  }

  enableQueue(queue: Virtqueue): void {
    const problem = queue.setupProblem();
    if (problem === undefined) queue.state.enabled = 1;
    else this.#fail(problem);
  }

  #has(feature: number): boolean {
    return hasFeature(this.state.driverFeatures, feature);
  }

  get #queueFeatures(): QueueFeatures {
    return {
      indirect: this.#has(RESERVED_FEATURES.VIRTIO_F_INDIRECT_DESC),
      eventIndex: this.#has(RESERVED_FEATURES.VIRTIO_F_EVENT_IDX),
    };
  }

  get #operating(): boolean {
    return (this.state.status & (STATUS_DRIVER_OK | STATUS_DEVICE_NEEDS_RESET)) === STATUS_DRIVER_OK;
  }

  #notified(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || queue.state.enabled === 0 || !this.#operating) return;
    this.#serving = true;
    const problem = this.#serve(index, queue);
    this.#serving = false;
    this.#interruptDriver(queue);
    if (problem !== undefined) this.#fail(problem);
  }

  #serve(index: number, queue: Virtqueue): Problem | undefined {
    for (;;) {
      const chain = queue.take(this.#queueFeatures);
      if (chain === undefined || typeof chain === 'number') return chain;
      const problem = this.device.request(index, chain, this.function.memory, this);
      if (problem !== undefined) return problem;
    }
  }

  complete(index: number, head: number, written: number): void {
    this.queues[index].complete(head, written);
    if (!this.#serving) this.#interruptDriver(this.queues[index]);
  }

  #interruptDriver(queue: Virtqueue): void {
    if (queue.wantsInterrupt(this.#queueFeatures)) this.#interrupt(queue.state.vector, ISR_QUEUE);
  }

  #interrupt(vector: number, isrBit: number): void {
    if (this.function.messageSignalled) {
      if (vector !== NO_VECTOR) this.function.notify(vector);
      return;
    }
    this.state.isr |= isrBit;
    this.function.setInterrupt(true);
  }

  /** The driver did what it must not: the device stops until it is reset, and says so. */
  #fail(problem: Problem): void {
    this.state.problem = problem;
    const told = this.#operating;
    this.state.status |= STATUS_DEVICE_NEEDS_RESET;
    if (told) this.configurationChanged();
  }

  /** Why DEVICE_NEEDS_RESET is set, in a sentence, or undefined. */
  problem(): string | undefined {
    return problemSentence(this.state.problem);
  }

  /** To be called after the device's `config` changed. */
  configurationChanged(): void {
    this.state.configGeneration = (this.state.configGeneration + 1) & 0xff;
    this.#interrupt(this.state.configVector, ISR_CONFIGURATION);
  }

  /** The transport's own reset; PCI configuration space and the MSI-X table stay. */
  reset(): void {
    restoreState(this.state, {
      ...resetRegisters(),
      queues: this.queues.map((queue) => resetQueueState(queue.maximum)),
    });
    this.function.setInterrupt(false);
  }

  /** A window in configuration space into the BARs. See: VIRTIO 4.1.4.9 PCI configuration access capability. */
  beforeConfigRead(offset: number, width: 1 | 2 | 4): void {
    const window = this.#pciCfgAccess(offset, width);
    if (window === undefined) return;
    const value = this.readMemory(window.offset, window.width);
    writeLittleEndian(this.function.state.config, this.#pciCfg + PCI_CFG.data, window.width, value);
  }

  afterConfigWrite(offset: number, width: 1 | 2 | 4): void {
    const window = this.#pciCfgAccess(offset, width);
    if (window === undefined) return;
    const data = readLittleEndian(this.function.state.config, this.#pciCfg + PCI_CFG.data, window.width);
    this.writeMemory(window.offset, window.width, data);
  }

  /** The BAR access that an access to pci_cfg_data stands for, if it does. */
  #pciCfgAccess(offset: number, width: number): { offset: number; width: 1 | 2 | 4 } | undefined {
    const { config } = this.function.state;
    const data = this.#pciCfg + PCI_CFG.data;
    if (offset >= data + 4 || offset + width <= data) return undefined;
    const target = readLittleEndian(config, this.#pciCfg + PCI_CFG.offset, 4);
    const length = readLittleEndian(config, this.#pciCfg + PCI_CFG.length, 4);
    const aligned = (length === 1 || length === 2 || length === 4) && target % length === 0;
    if (config[this.#pciCfg + PCI_CFG.bar] !== BAR || !aligned || target + length > BAR_BYTES) return undefined;
    return { offset: target, width: length };
  }

  /** The PCI function's state is saved with its bus. */
  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
  }
}

function resetRegisters(): Omit<VirtioState, 'queues'> {
  return {
    deviceFeatureSelect: 0,
    driverFeatureSelect: 0,
    driverFeatures: new Uint32Array(2),
    configVector: NO_VECTOR,
    status: 0,
    configGeneration: 0,
    queueSelect: 0,
    isr: 0,
    problem: 0,
  };
}
