// SPDX-License-Identifier: Apache-2.0

import type { Socket } from 'node:net';

import { InternalError } from '../../../src/base/assert.ts';
import {
  encodeGdbPacket,
  GDB_ACKNOWLEDGE,
  GdbDecoder,
  gdbHex,
  gdbText,
  gdbUnhex,
} from '../../../src/formats/gdb-packet.ts';

/** One register of the target's description, and where it stands in the `g` packet. */
export type TargetRegister = {
  readonly name: string;
  readonly number: number;
  readonly offset: number;
  readonly bytes: number;
};

/** The side of the remote protocol that asks, for stepping a stopped target. One request at a time. */
export class GdbClient {
  readonly #socket: Socket;
  readonly #decoder = new GdbDecoder();
  readonly #replies: string[] = [];
  #waiting: { resolve: (reply: string) => void; reject: (error: Error) => void } | undefined;
  #lost: Error | undefined;
  #acknowledge = true;
  #registers: readonly TargetRegister[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Uint8Array) => this.#hear(bytes));
    const lose = (why: string) => (): void => {
      this.#lost ??= new InternalError(`the gdb connection ${why}`);
      this.#waiting?.reject(this.#lost);
      this.#waiting = undefined;
    };
    socket.on('close', lose('closed'));
    socket.on('error', lose('failed'));
  }

  /** Agrees on features and reads the register layout. */
  async start(): Promise<void> {
    await this.request('qSupported:xmlRegisters=i386');
    if ((await this.request('QStartNoAckMode')) === 'OK') this.#acknowledge = false;
    this.#registers = parseRegisters(await this.#readFeatures('target.xml'));
  }

  get registers(): readonly TargetRegister[] {
    return this.#registers;
  }

  #hear(bytes: Uint8Array): void {
    for (const input of this.#decoder.push(bytes)) {
      if (input.kind !== 'packet') continue;
      if (this.#acknowledge) this.#socket.write(GDB_ACKNOWLEDGE);
      const reply = gdbText(input.payload);
      if (this.#waiting) {
        const { resolve } = this.#waiting;
        this.#waiting = undefined;
        resolve(reply);
      } else this.#replies.push(reply);
    }
  }

  /** Sends a packet and waits for the answer to it. */
  request(payload: string): Promise<string> {
    this.#socket.write(encodeGdbPacket(payload));
    return this.#next();
  }

  #next(): Promise<string> {
    if (this.#lost) return Promise.reject(this.#lost);
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  /** A request that must be answered OK. */
  async command(payload: string): Promise<void> {
    const reply = await this.request(payload);
    if (reply !== 'OK') throw new InternalError(`gdb stub answered "${reply}" to ${payload}`);
  }

  /** The target's description with its includes in place. */
  async #readFeatures(name: string): Promise<string> {
    let text = '';
    for (let more = true; more;) {
      const reply = await this.request(`qXfer:features:read:${name}:${text.length.toString(16)},800`);
      if (!/^[lm]/.test(reply)) throw new InternalError(`gdb stub has no ${name}: "${reply}"`);
      text += reply.slice(1);
      more = reply[0] === 'm';
    }
    const parts: string[] = [];
    for (const piece of text.split(/(<xi:include href="[^"]*"\/>)/)) {
      const include = /^<xi:include href="([^"]*)"/.exec(piece);
      parts.push(include ? await this.#readFeatures(include[1]) : piece);
    }
    return parts.join('');
  }

  /** All registers of the `g` packet as unsigned numbers, by name. */
  async readRegisters(): Promise<Map<string, bigint>> {
    const bytes = this.#bytesOf(await this.request('g'), 'g');
    const values = new Map<string, bigint>();
    for (const { name, offset, bytes: length } of this.#registers) {
      if (offset + length > bytes.length) break;
      values.set(name, littleEndian(bytes.subarray(offset, offset + length)));
    }
    return values;
  }

  async writeRegister(name: string, value: bigint): Promise<void> {
    const register = this.#registers.find((each) => each.name === name);
    if (!register) throw new InternalError(`the target has no register ${name}`);
    const bytes = Uint8Array.from({ length: register.bytes }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
    await this.command(`P${register.number.toString(16)}=${gdbHex(bytes)}`);
  }

  /** Linear memory as the processor sees it now. */
  async readMemory(address: bigint, length: number): Promise<Uint8Array> {
    return this.#bytesOf(await this.request(`m${address.toString(16)},${length.toString(16)}`), 'm');
  }

  /** One step; the target is stopped again afterwards. */
  async step(): Promise<void> {
    this.#stopped(await this.request('s'));
  }

  /** Runs until the instruction at a linear address is next. */
  async runTo(address: bigint): Promise<void> {
    const where = `${address.toString(16)},1`;
    await this.command(`Z1,${where}`);
    this.#stopped(await this.request('c'));
    await this.command(`z1,${where}`);
  }

  /** A line for the target's own monitor, and what it printed. */
  async monitor(line: string): Promise<string> {
    let text = '';
    let reply = await this.request(`qRcmd,${gdbHex(new TextEncoder().encode(line))}`);
    for (; reply.startsWith('O') && reply !== 'OK'; reply = await this.#next())
      text += gdbText(this.#bytesOf(reply.slice(1), 'qRcmd'));
    return text;
  }

  #stopped(reply: string): void {
    if (!/^[TS]05/.test(reply)) throw new InternalError(`the target did not stop after a step: "${reply}"`);
  }

  #bytesOf(reply: string, request: string): Uint8Array {
    const bytes = gdbUnhex(reply);
    if (!bytes || /^E..$/.test(reply)) throw new InternalError(`gdb stub answered "${reply}" to ${request}`);
    return bytes;
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** `<reg name=… bitsize=… regnum=…>` in document order; a number that is not given is the one after the last. */
export function parseRegisters(description: string): TargetRegister[] {
  const registers: TargetRegister[] = [];
  let number = 0;
  let offset = 0;
  for (const [tag] of description.replaceAll(/<!--[\s\S]*?-->/g, '').matchAll(/<reg\s[^>]*>/g)) {
    const attribute = (name: string): string | undefined => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
    number = Number(attribute('regnum') ?? number);
    const bytes = Number(attribute('bitsize')) / 8;
    registers.push({ name: attribute('name') ?? '', number, offset, bytes });
    number++;
    offset += bytes;
  }
  return registers;
}
