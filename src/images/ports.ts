// SPDX-License-Identifier: Apache-2.0

/** What preparing a guest needs from the computer it runs on. A platform implements these; nothing here knows which. */
export interface ImageHost {
  readonly commands: Commands;
  readonly cache: CacheFiles;
  readonly codecs: Codecs;
  readonly progress: Progress;
  readonly scripts: GuestScripts;
}

export interface CommandResult {
  /** Exit status, or undefined when there is no such program. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs of the computer itself, with LC_ALL=C and without standard input. */
export interface Commands {
  /** `folder` is the working directory; `onLine` sees every line of standard output as it comes. */
  run(
    program: string,
    args: readonly string[],
    folder: string,
    onLine?: (line: string) => void,
  ): Promise<CommandResult>;
}

/** A folder of our own. Names are relative to it, with slashes. Full disks and missing rights come out as UserError. */
export interface CacheFiles {
  /** Absolute path of a name, for other programs and for messages. */
  path(name: string): string;
  /** undefined when there is no such file. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Names of the files and folders directly in a folder; empty when it does not exist. */
  list(folder: string): Promise<string[]>;
  /** Makes a folder and those above it; existing ones are fine. */
  makeFolder(name: string): Promise<void>;
  /** Writes one file so that it is there as a whole or not at all, even when power fails. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Writes a whole folder of files in the same manner; replaces an older one. */
  writeFolder(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<void>;
  /** Removes a file or a folder with what is in it; nothing happens when there is none. */
  remove(name: string): Promise<void>;
  /** Runs `work` while no other process is in `exclusively` for this folder; `waiting` is called once if it must wait. */
  exclusively<T>(waiting: () => void, work: () => Promise<T>): Promise<T>;
}

export interface Codecs {
  /** Lower-case hexadecimal SHA-256. */
  sha256(bytes: Uint8Array): string;
  /** Throws an Error when the bytes are not in that format. */
  decompress(format: CompressionFormat, bytes: Uint8Array): Promise<Uint8Array>;
  utf8(text: string): Uint8Array;
  text(utf8: Uint8Array): string;
}

export type CompressionFormat = 'gzip' | 'xz' | 'zstd';

/** What the user sees while he waits; shown only when it takes long. */
export interface Progress {
  /** A new stage begins: "downloading 42 packages". */
  stage(text: string): void;
  /** How far the stage is, in any one unit; `unit` is "bytes" or what is counted. */
  amount(done: number, total: number, unit: 'bytes' | 'packages' | 'files'): void;
  /** Something the user should know that is no error; always shown. */
  notice(text: string): void;
  /** All stages are over. */
  done(): void;
}

/** The scripts that run inside guests (folder `guests`). Names are relative to it. */
export interface GuestScripts {
  read(name: string): Promise<Uint8Array>;
}
