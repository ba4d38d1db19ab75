// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CacheFolder, defaultCacheFolder } from './cache-files.ts';
import { Codecs } from './codecs.ts';
import { Commands } from './commands.ts';
import { standardErrorProgress } from './progress.ts';

/** The folder `guests`, which is at the same distance from here in the sources and when compiled. */
const GUESTS = new URL('../../../guests/', import.meta.url);

/** What preparing guests needs (ports of `images/`), on this computer. `cacheFolder` is an absolute path. */
export function nodeImageHost(cacheFolder = defaultCacheFolder(process.env)) {
  return {
    commands: new Commands(),
    cache: new CacheFolder(cacheFolder),
    codecs: new Codecs(),
    progress: standardErrorProgress(),
    scripts: { read: (name: string): Promise<Uint8Array> => readFile(fileURLToPath(new URL(name, GUESTS))) },
  };
}
