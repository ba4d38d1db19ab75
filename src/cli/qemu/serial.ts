// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import { ESCAPE_HELP } from '../../platform/node/escape.ts';
import type { Host } from '../../platform/node/host.ts';
import { ConsoleChannel } from '../../system/console-channel.ts';
import type { QemuSettings, SerialSetting } from './settings.ts';

const MOST_PORTS = 4;
const CONTROL_C = 3;
const SIGINT_STATUS = 130;

/** A serial port and where it leads. */
interface Port {
  readonly setting: SerialSetting;
  readonly channel: ConsoleChannel;
  /** Undefined: nobody listens. */
  write: ((bytes: Uint8Array) => void) | undefined;
}

/** Which ports the options come to: without any, COM1 is there as in QEMU, on the terminal only with -nographic. */
export function serialSettings({ serial, nographic, defaults }: QemuSettings): SerialSetting[] {
  const asked: SerialSetting[] =
    serial.length > 0 ? serial : nographic ? [{ kind: 'stdio', signals: false }] : defaults ? [{ kind: 'null' }] : [];
  const ports = asked.slice(0, asked.findLastIndex(({ kind }) => kind !== 'none') + 1);
  if (ports.length > MOST_PORTS)
    throw new UserError(`-serial: there are ${MOST_PORTS} ports at most`, 'leave some out');
  if (ports.filter(({ kind }) => kind === 'stdio').length > 1)
    throw new UserError('-serial: stdio can be given once', 'send the others to file:FILE');
  return ports;
}

/** The serial ports of one run: what the guest sends goes where `-serial` says, what is typed goes to the one on stdio. */
export class SerialPorts {
  left = false;
  /** More may come: standard input is open. */
  mayReceive = false;
  interactive = false;
  readonly #host: Host;
  readonly #ports: readonly Port[];
  readonly #closers: (() => void)[] = [];

  constructor(settings: QemuSettings, host: Host) {
    this.#host = host;
    this.#ports = serialSettings(settings).map((setting) => ({
      setting,
      channel: new ConsoleChannel(false),
      write: undefined,
    }));
  }

  /** COM1 first. */
  get channels(): ConsoleChannel[] {
    return this.#ports.map(({ channel }) => channel);
  }

  /** Opens files and takes the terminal; from now on what is said is shown. */
  open(): void {
    for (const port of this.#ports) {
      if (port.setting.kind === 'file') {
        const file = this.#host.createFile(port.setting.path, '-serial file:');
        port.write = (bytes) => file.write(bytes);
        this.#closers.push(() => file.close());
      } else if (port.setting.kind === 'stdio') {
        port.write = this.#host.write;
        this.#joinInput(port.channel, port.setting.signals);
      }
    }
  }

  show(): void {
    for (const { channel, write } of this.#ports) {
      const bytes = channel.take();
      if (bytes.length > 0) write?.(bytes);
    }
  }

  close(): void {
    this.show();
    for (const closer of this.#closers.splice(0)) closer();
  }

  #joinInput(channel: ConsoleChannel, signals: boolean): void {
    const host = this.#host;
    this.mayReceive = true;
    const receive = (bytes: Uint8Array): void => {
      channel.type(bytes);
      host.wake();
    };
    if (host.inputIsTerminal) this.#joinTerminal(receive, signals);
    else host.onInput(receive, () => this.#inputEnds());
  }

  #joinTerminal(receive: (bytes: Uint8Array) => void, signals: boolean): void {
    const host = this.#host;
    this.interactive = true;
    const onKeys = (bytes: Uint8Array): void => {
      if (signals && bytes.includes(CONTROL_C)) host.exit(SIGINT_STATUS);
      receive(bytes);
    };
    const restore = host.attachTerminal({
      onKeys,
      onCommand: (command) => {
        if (command === 'help') return host.write(ESCAPE_HELP);
        this.left = true;
        host.wake();
      },
    });
    this.#closers.push(restore);
  }

  #inputEnds(): void {
    this.mayReceive = false;
    this.#host.wake();
  }
}
