// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort } from '../../hardware/memory.ts';
import type { BlockStore } from '../../hardware/ports.ts';
import { readLittleEndian, writeLittleEndian } from '../bus-width.ts';
import { ChainCursor } from './chain.ts';
import type { DescriptorChain } from './chain.ts';
import type { Completions, VirtioDevice } from './device.ts';
import { PROBLEM } from './problems.ts';
import type { Problem } from './problems.ts';

const SECTOR_BYTES = 512;
const CHUNK_BYTES = 128 * SECTOR_BYTES;
const QUEUE_SIZE = 128;

/** See: VIRTIO 5.2.3 Feature bits. */
const VIRTIO_BLK_F_SEG_MAX = 2;
const VIRTIO_BLK_F_RO = 5;
const VIRTIO_BLK_F_BLK_SIZE = 6;
const VIRTIO_BLK_F_FLUSH = 9;

/** See: VIRTIO 5.2.4 Device configuration layout. */
const CONFIG_CAPACITY = 0;
const CONFIG_SEG_MAX = 12;
const CONFIG_BLK_SIZE = 20;
const CONFIG_BYTES = 60;

/** See: VIRTIO 5.2.6 Device Operation. */
const VIRTIO_BLK_S_OK = 0;
const VIRTIO_BLK_S_IOERR = 1;
const VIRTIO_BLK_S_UNSUPP = 2;
const HEADER_BYTES = 16;
const ID_BYTES = 20;

/** A request between its header and its status byte. */
interface Transfer {
  readonly sector: number;
  readonly reader: ChainCursor;
  readonly writer: ChainCursor;
  /** Bytes of device-writable data, without the status byte. */
  readonly room: number;
}

interface Operation {
  readonly type: number;
  readonly name: string;
  /** Returns the status. */
  readonly run: (device: VirtioBlock, transfer: Transfer) => number;
}

// prettier-ignore
const OPERATIONS: readonly Operation[] = [
  { type: 0, name: 'VIRTIO_BLK_T_IN',     run: (device, transfer) => device.read(transfer) },
  { type: 1, name: 'VIRTIO_BLK_T_OUT',    run: (device, transfer) => device.write(transfer) },
  { type: 4, name: 'VIRTIO_BLK_T_FLUSH',  run: (device) => device.flush() },
  { type: 8, name: 'VIRTIO_BLK_T_GET_ID', run: (device, transfer) => device.identify(transfer) },
];

/** virtio-blk over a store. See: VIRTIO 5.2 Block Device. */
export class VirtioBlock implements VirtioDevice {
  readonly name = 'virtio-blk';
  readonly deviceId = 2;
  readonly classCode = 0x01_0000;
  readonly queueSizes = [QUEUE_SIZE];
  readonly features: readonly number[];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly #store: BlockStore;
  readonly #serial: Uint8Array;

  /** `serial` is at most 20 ASCII characters. */
  constructor(store: BlockStore, serial: string) {
    this.#store = store;
    this.#serial = Uint8Array.from(serial.slice(0, ID_BYTES), (character) => character.charCodeAt(0));
    this.features = [
      VIRTIO_BLK_F_SEG_MAX,
      VIRTIO_BLK_F_BLK_SIZE,
      VIRTIO_BLK_F_FLUSH,
      ...(store.readOnly ? [VIRTIO_BLK_F_RO] : []),
    ];
    writeLittleEndian(this.config, CONFIG_CAPACITY, 4, store.sectors % 2 ** 32);
    writeLittleEndian(this.config, CONFIG_CAPACITY + 4, 4, Math.floor(store.sectors / 2 ** 32));
    writeLittleEndian(this.config, CONFIG_SEG_MAX, 4, QUEUE_SIZE - 2);
    writeLittleEndian(this.config, CONFIG_BLK_SIZE, 4, SECTOR_BYTES);
  }

  request(queue: number, chain: DescriptorChain, memory: BusMasterPort, completions: Completions): Problem | undefined {
    if (chain.readableLength < HEADER_BYTES || chain.writableLength < 1) return PROBLEM.REQUEST_FRAMING;
    const reader = new ChainCursor(memory, chain.readable);
    const writer = new ChainCursor(memory, chain.writable);
    const header = new Uint8Array(HEADER_BYTES);
    reader.read(header);
    const sector = readLittleEndian(header, 8, 4) + readLittleEndian(header, 12, 4) * 2 ** 32;
    const operation = OPERATIONS.find(({ type }) => type === readLittleEndian(header, 0, 4));
    const transfer = { sector, reader, writer, room: chain.writableLength - 1 };
    const status = operation === undefined ? VIRTIO_BLK_S_UNSUPP : operation.run(this, transfer);
    finish(writer, status);
    completions.complete(queue, chain.head, chain.writableLength);
    return undefined;
  }

  /** Whether `bytes` from `sector` on are whole sectors of this disk. */
  #contains(sector: number, bytes: number): boolean {
    return bytes % SECTOR_BYTES === 0 && sector + bytes / SECTOR_BYTES <= this.#store.sectors;
  }

  read({ sector, writer, room }: Transfer): number {
    if (!this.#contains(sector, room)) return VIRTIO_BLK_S_IOERR;
    for (let done = 0; done < room; done += CHUNK_BYTES) {
      const bytes = new Uint8Array(Math.min(CHUNK_BYTES, room - done));
      this.#store.read(sector + done / SECTOR_BYTES, bytes);
      writer.write(bytes);
    }
    return VIRTIO_BLK_S_OK;
  }

  write({ sector, reader }: Transfer): number {
    const length = reader.remaining;
    if (this.#store.readOnly || !this.#contains(sector, length)) return VIRTIO_BLK_S_IOERR;
    for (let done = 0; done < length; done += CHUNK_BYTES) {
      const bytes = new Uint8Array(Math.min(CHUNK_BYTES, length - done));
      reader.read(bytes);
      this.#store.write(sector + done / SECTOR_BYTES, bytes);
    }
    return VIRTIO_BLK_S_OK;
  }

  flush(): number {
    this.#store.flush();
    return VIRTIO_BLK_S_OK;
  }

  identify({ writer, room }: Transfer): number {
    if (room < ID_BYTES) return VIRTIO_BLK_S_IOERR;
    const id = new Uint8Array(ID_BYTES);
    id.set(this.#serial);
    writer.write(id);
    return VIRTIO_BLK_S_OK;
  }
}

/** The status is the last writable byte; what lies before it and holds no data becomes zero. */
function finish(writer: ChainCursor, status: number): void {
  while (writer.remaining > 1) writer.write(new Uint8Array(Math.min(CHUNK_BYTES, writer.remaining - 1)));
  writer.write(Uint8Array.of(status));
}
