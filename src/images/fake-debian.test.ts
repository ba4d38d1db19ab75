// SPDX-License-Identifier: Apache-2.0
// A Debian archive and a computer in memory, for the tests of this folder.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { UserError } from '../base/errors.ts';
import { openDeb } from './package-files.ts';
import type { CacheFiles, Codecs, CommandResult, Commands, ImageHost } from './ports.ts';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const codecs: Codecs = {
  sha256,
  decompress: async (_format, bytes) => gunzipSync(bytes),
  utf8: (text) => Buffer.from(text),
  text: (bytes) => Buffer.from(bytes).toString(),
};

/** A 64-bit ELF file that needs these libraries. */
export function elf(libraries: readonly string[], interpreter = ''): Buffer {
  const file = Buffer.alloc(0x1000);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]).copy(file);
  file.writeUInt8(0x40, 0x20);
  file.writeUInt16LE(56, 0x36);
  file.writeUInt16LE(interpreter === '' ? 2 : 3, 0x38);
  const rows = [
    [1, 0, 0x1000],
    [2, 0x400, 0x400],
    [3, 0x200, 0x100],
  ];
  rows.forEach(([type, offset, size], index) => {
    file.writeUInt32LE(type!, 0x40 + index * 56);
    file.writeUInt32LE(offset!, 0x48 + index * 56);
    file.writeUInt32LE(offset!, 0x50 + index * 56);
    file.writeUInt32LE(size!, 0x60 + index * 56);
  });
  file.write(interpreter, 0x200);
  let name = 0x801;
  [
    [5, 0x800],
    ...libraries.map((library) => {
      const at = name;
      file.write(library, at);
      name += library.length + 1;
      return [1, at - 0x800];
    }),
  ].forEach(([tag, value], index) => {
    file.writeUInt32LE(tag!, 0x400 + index * 16);
    file.writeUInt32LE(value!, 0x408 + index * 16);
  });
  return file;
}

/** A kernel module that depends on others. */
export function kernelModule(depends: string): Buffer {
  const file = Buffer.alloc(0x300);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]).copy(file);
  file.writeUInt8(0x40, 0x28);
  file.writeUInt16LE(64, 0x3a);
  file.writeUInt16LE(2, 0x3c);
  file.writeUInt16LE(0x100, 0x58);
  file.writeUInt16LE(0x20, 0x60);
  file.writeUInt32LE(11, 0x80);
  file.writeUInt16LE(0x180, 0x98);
  file.writeUInt16LE(0x80, 0xa0);
  file.write('\0.shstrtab\0.modinfo\0', 0x100);
  file.write(`depends=${depends}\0`, 0x180);
  return file;
}

export interface FakePackage {
  readonly name: string;
  readonly version?: string;
  readonly section?: string;
  readonly depends?: string;
  /** Path → bytes, or the target of a symlink as "-> target". */
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
}

function makeDeb({ files = {} }: FakePackage): Buffer {
  const parts = Object.entries(files).map(([path, content]) => tarBlock(`./${path}`, content));
  const data = gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
  const member = (name: string, bytes: Uint8Array) =>
    Buffer.concat([
      Buffer.from(`${name.padEnd(48)}${String(bytes.length).padEnd(10)}\`\n`),
      bytes,
      Buffer.alloc(bytes.length & 1),
    ]);
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    member('debian-binary', Buffer.from('2.0\n')),
    member('data.tar.gz', data),
  ]);
}

function tarBlock(name: string, content: Uint8Array | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.alloc(0) : content;
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000755\0', 100);
  header.write(bytes.length.toString(8).padStart(11, '0'), 124);
  header.write('        ', 148);
  header.write(typeof content === 'string' ? '2' : '0', 156);
  if (typeof content === 'string') header.write(content.slice('-> '.length), 157);
  header.write('ustar\x0000', 257);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** apt over an archive in memory; what it is asked is kept in `asked`. */
class FakeApt implements Commands {
  readonly asked: string[] = [];
  packages: FakePackage[];
  /** Replaces the result of commands whose arguments hold this text. */
  failures = new Map<string, CommandResult>();
  readonly #cache: FakeCache;

  constructor(packages: FakePackage[], cache: FakeCache) {
    this.packages = packages;
    this.#cache = cache;
  }

  async run(
    program: string,
    args: readonly string[],
    folder: string,
    onLine?: (line: string) => void,
  ): Promise<CommandResult> {
    const words = args.slice(args[0] === '-c' ? 2 : 0);
    this.asked.push([program, ...words].join(' '));
    for (const [text, result] of this.failures) if (this.asked.at(-1)!.includes(text)) return result;
    const at = (verb: string) => words.slice(words.indexOf(verb) + 1);
    if (words.includes('show')) return this.#show(at('show'));
    if (words.includes('install'))
      return done(
        this.#closure(at('install'))
          .map((row) => `'x' ${fileName(row)} 1 SHA256:0\n`)
          .join(''),
      );
    if (words.includes('download')) {
      onLine?.('dlstatus:1:50.0:Retrieving');
      for (const row of at('download').map((name) => this.#find(name)!)) {
        this.#cache.files.set(`${folder.slice(this.#cache.path('').length)}/${fileName(row)}`, makeDeb(row));
      }
    }
    return done('');
  }

  #show(names: readonly string[]): CommandResult {
    const found = names.map((name) => this.#find(name)).filter((row) => row !== undefined);
    const stdout = found.map((row) => {
      const deb = makeDeb(row);
      const { name, version = '1', section = 'libs', depends = '' } = row;
      return `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nSection: ${section}\nDepends: ${depends}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
    });
    if (found.length > 0) return done(stdout.join('\n'));
    return { status: 100, stdout: '', stderr: 'E: No packages found\n' };
  }

  #closure(names: readonly string[], seen = new Set<FakePackage>()): FakePackage[] {
    for (const row of names.map((name) => this.#find(name)!)) {
      if (seen.has(row)) continue;
      seen.add(row);
      this.#closure(
        (row.depends ?? '').split(', ').filter((name) => name !== ''),
        seen,
      );
    }
    return [...seen];
  }

  #find(request: string): FakePackage | undefined {
    const [name, version] = request.split('=');
    return this.packages.find(
      (row) => row.name === name && (version === undefined || version === (row.version ?? '1')),
    );
  }
}

function fileName({ name, version = '1' }: FakePackage): string {
  return `${name}_${version.replaceAll(':', '%3a')}_amd64.deb`;
}

function done(stdout: string): CommandResult {
  return { status: 0, stdout, stderr: '' };
}

/** A cache in memory. `failingWrite` makes a write of a whole folder fail as a full disk does. */
class FakeCache implements CacheFiles {
  readonly files = new Map<string, Uint8Array>();
  failingWrite = false;

  path(name: string): string {
    return `/cache/${name}`;
  }
  async read(name: string): Promise<Uint8Array | undefined> {
    return this.files.get(name);
  }
  async list(folder: string): Promise<string[]> {
    return [...this.files.keys()].filter((name) => name.startsWith(`${folder}/`));
  }
  async makeFolder(): Promise<void> {}
  async write(name: string, bytes: Uint8Array): Promise<void> {
    this.files.set(name, bytes);
  }
  async writeFolder(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    if (this.failingWrite) throw new UserError('Cannot use /cache: the disk is full.', 'make room');
    for (const [file, bytes] of files) this.files.set(`${name}/${file}`, bytes);
  }
  async remove(name: string): Promise<void> {
    for (const key of [...this.files.keys()]) if (key === name || key.startsWith(`${name}/`)) this.files.delete(key);
  }
  async exclusively<T>(_waiting: () => void, work: () => Promise<T>): Promise<T> {
    return work();
  }
}

export interface FakeHost extends ImageHost {
  readonly commands: FakeApt;
  readonly cache: FakeCache;
  readonly notices: string[];
}

export function fakeHost(
  packages: FakePackage[],
  scripts: Readonly<Record<string, string>> = { 'init.sh': '#!/bin/sh\n' },
): FakeHost {
  const cache = new FakeCache();
  const notices: string[] = [];
  return {
    commands: new FakeApt(packages, cache),
    cache,
    codecs,
    notices,
    progress: { stage: () => {}, amount: () => {}, notice: (text) => void notices.push(text), done: () => {} },
    scripts: { read: async (name) => Buffer.from(scripts[name] ?? '') },
  };
}

test('the packages made here are ones that can be opened', async () => {
  const entries = await openDeb(
    makeDeb({ name: 'a', files: { 'bin/x': Buffer.from('1'), 'bin/y': '-> x' } }),
    'a',
    codecs,
  );
  assert.deepEqual(
    entries.map(({ path, kind, target }) => [path, kind, target]),
    [
      ['bin/x', 'file', ''],
      ['bin/y', 'symlink', 'x'],
    ],
  );
});
