// SPDX-License-Identifier: Apache-2.0
// The two connections that Debian's Bochs wants: one for its serial port, which it would buffer in a file, and one for
// its display, without which it does not start.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { PassThrough } from 'node:stream';
import type { Readable } from 'node:stream';

const HERE = '127.0.0.1';
/** Bochs takes the first free one of these for its display. */
const DISPLAYS = Array.from({ length: 50 }, (_, number) => 5900 + number);
const RETRY = 100;

export interface Attachment {
  /** Of the serial port's server. */
  readonly port: number;
  readonly output: Readable;
  readonly close: () => void;
}

/** Call it before Bochs is started: it finds out which display that is going to be. */
export async function attach(): Promise<Attachment> {
  const output = new PassThrough();
  const server = createServer((socket) => socket.on('error', () => {}).pipe(output));
  server.listen(0, HERE);
  await once(server, 'listening');
  const endView = view(await firstFree(DISPLAYS));
  return {
    port: (server.address() as AddressInfo).port,
    output,
    close: () => {
      endView();
      server.close();
      output.end();
    },
  };
}

async function firstFree(ports: readonly number[]): Promise<number> {
  for (const port of ports) {
    const server = createServer();
    if (await listens(server, port)) {
      server.close();
      await once(server, 'close');
      return port;
    }
  }
  throw new Error('there is no free port for the display of Bochs');
}

function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(false)).listen(port, () => resolve(true));
  });
}

/** A viewer that says hello (RFC 6143, 7.1 and 7.3.1) and never asks for a picture. Returns what ends it. */
function view(port: number): () => void {
  let ended = false;
  let socket = dial();
  function dial() {
    const dialled = connect(port, HERE);
    dialled.on('error', () => setTimeout(() => ended || (socket = dial()), RETRY));
    dialled.once('data', () => {
      dialled.write('RFB 003.003\n');
      dialled.once('data', () => {
        dialled.write(Uint8Array.of(1));
        dialled.resume();
      });
    });
    return dialled;
  }
  return () => {
    ended = true;
    socket.destroy();
  };
}
