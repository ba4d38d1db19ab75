// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { readAr } from '../formats/ar.ts';
import { readTar } from '../formats/tar.ts';
import type { TarEntry } from '../formats/tar.ts';
import type { DebianPackage } from './apt.ts';
import type { Codecs, CompressionFormat } from './ports.ts';

/** A file or symlink, and the package it is in. `entry.path` is the path in that package. */
export interface PackagedFile {
  readonly package: DebianPackage;
  readonly entry: TarEntry;
}

// prettier-ignore
const COMPRESSION: Readonly<Record<string, CompressionFormat | 'none'>> = {
  'data.tar':     'none',
  'data.tar.gz':  'gzip',
  'data.tar.xz':  'xz',
  'data.tar.zst': 'zstd',
};

/** The top-level folders that a merged /usr makes symlinks: packages ship their files on either side. */
const MERGED = /^(usr\/)?(bin|sbin|lib|lib32|lib64|libx32)\//;

/** More symlinks than this on the way to a file are a loop, as for the kernel. */
const MAXIMUM_SYMLINKS = 40;

/** The entries of a .deb's file system. See: deb(5). */
export async function openDeb(archive: Uint8Array, name: string, codecs: Codecs): Promise<TarEntry[]> {
  try {
    const data = readAr(archive).find((member) => member.name in COMPRESSION);
    if (data === undefined) throw new Error('no member data.tar in a compression we know');
    const format = COMPRESSION[data.name]!;
    return readTar(format === 'none' ? data.bytes : await codecs.decompress(format, data.bytes));
  } catch (error) {
    throw new UserError(
      `The package ${name} cannot be read: ${(error as Error).message.replace(/\.$/, '')}.`,
      'is it a Debian package?',
    );
  }
}

/** The files of several packages, as if they were installed over an empty root. Paths have no leading slash. */
export class PackageFiles {
  readonly #files = new Map<string, PackagedFile>();

  add(from: DebianPackage, entries: readonly TarEntry[]): void {
    for (const entry of entries) if (entry.kind !== 'directory') this.#files.set(entry.path, { package: from, entry });
  }

  /** Paths of all files and symlinks. */
  paths(): Iterable<string> {
    return this.#files.keys();
  }

  /** Whether a package has exactly this path, not its other side of a merged /usr. */
  has(path: string): boolean {
    return this.#files.has(path);
  }

  /** What is at a path, symlinks themselves included; on either side of a merged /usr; hard links are followed. */
  at(path: string): PackagedFile | undefined {
    const found = this.#files.get(path) ?? this.#files.get(otherSide(path));
    return found?.entry.kind === 'hardlink' ? this.at(found.entry.target) : found;
  }

  /**
   * The symlinks from `path` on and the file at their end, each with the path that leads to it; undefined when there
   * is nothing, or a link leads nowhere.
   */
  follow(
    path: string,
  ):
    | { readonly links: readonly [path: string, target: string][]; readonly path: string; readonly file: PackagedFile }
    | undefined {
    const links: [string, string][] = [];
    let at = path;
    for (let step = 0; step < MAXIMUM_SYMLINKS; step++) {
      const file = this.at(at);
      if (file === undefined) return undefined;
      if (file.entry.kind === 'file') return { links, path: at, file };
      if (file.entry.kind !== 'symlink') return undefined;
      links.push([at, file.entry.target]);
      at = resolvePath(folderOf(at), file.entry.target);
    }
    return undefined;
  }
}

/** The folder of a path, without a trailing slash; '' for the root. */
export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** `target` as seen from `folder`, with `.` and `..` removed, without a leading slash. */
export function resolvePath(folder: string, target: string): string {
  const parts: string[] = [];
  for (const part of (target.startsWith('/') ? target : `${folder}/${target}`).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function otherSide(path: string): string {
  if (!MERGED.test(path)) return path;
  return path.startsWith('usr/') ? path.slice('usr/'.length) : `usr/${path}`;
}
