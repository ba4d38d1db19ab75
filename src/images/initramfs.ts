// SPDX-License-Identifier: Apache-2.0
import { writeCpio } from '../formats/cpio.ts';
import type { CpioEntry } from '../formats/cpio.ts';
import type { Manifest, ManifestFile, Origin } from './manifest.ts';
import { folderOf } from './package-files.ts';
import type { PackagedFile, PackageFiles } from './package-files.ts';
import type { DebianPackage } from './apt.ts';
import type { Codecs } from './ports.ts';

/** Collects what an initramfs holds, and where each file of it comes from. */
export class InitramfsBuilder {
  readonly #codecs: Codecs;
  readonly #entries = new Map<string, CpioEntry>();
  readonly #files: ManifestFile[] = [];
  readonly #packages = new Map<string, DebianPackage>();
  readonly #guests: Record<string, Manifest> = {};

  constructor(codecs: Codecs) {
    this.#codecs = codecs;
  }

  /** Folders, symlinks and devices; files come by the methods below, which record their origin. */
  add(entry: Exclude<CpioEntry, { kind: 'file' }>): void {
    this.#parents(entry.path);
    this.#entries.set(entry.path, entry);
  }

  /** A packaged file under `path`, byte for byte. The same path twice is the same file. */
  addPackaged(path: string, { package: from, entry }: PackagedFile): void {
    if (this.#entries.get(path)?.kind === 'file') return;
    this.#packages.set(from.name, from);
    const origin: Origin = { kind: 'package', package: from.name, version: from.version, path: entry.path };
    this.#file(path, entry.mode, entry.bytes, origin);
  }

  /** The file that `path` leads to in the packages, with the symlinks on the way. False when there is none. */
  addFollowed(path: string, files: PackageFiles, as = path): boolean {
    const found = files.follow(path);
    if (found === undefined) return false;
    if (as !== path) this.addPackaged(as, found.file);
    else {
      for (const [link, target] of found.links) this.add({ kind: 'symlink', path: link, target });
      this.addPackaged(found.path, found.file);
    }
    return true;
  }

  addScript(path: string, script: string, bytes: Uint8Array): void {
    this.#file(path, 0o755, bytes, { kind: 'script', path: script });
  }

  addGenerated(path: string, bytes: Uint8Array, by: string): void {
    this.#file(path, 0o644, bytes, { kind: 'generated', by });
  }

  addGuest(folder: string, manifest: Manifest): void {
    this.#guests[folder] = manifest;
  }

  archive(): Uint8Array {
    return writeCpio(this.#entries.values());
  }

  /** `kernel` did not go into the initramfs, but belongs to the guest. */
  manifest(recipe: string, kernel: PackagedFile): Manifest {
    const { name, version } = kernel.package;
    const packages = new Map(this.#packages).set(name, kernel.package);
    const origin: Origin = { kind: 'package', package: name, version, path: kernel.entry.path };
    return {
      recipe,
      kernel: this.#row('kernel', kernel.entry.bytes, origin),
      files: this.#files.toSorted((a, b) => compare(a.path, b.path)),
      packages: [...packages.values()]
        .map((row) => ({ name: row.name, version: row.version, architecture: row.architecture, sha256: row.sha256 }))
        .toSorted((a, b) => compare(a.name, b.name)),
      guests: this.#guests,
    };
  }

  #file(path: string, mode: number, bytes: Uint8Array, origin: Origin): void {
    this.#parents(path);
    this.#entries.set(path, { kind: 'file', path, mode, bytes });
    this.#files.push(this.#row(path, bytes, origin));
  }

  #row(path: string, bytes: Uint8Array, origin: Origin): ManifestFile {
    return { path, size: bytes.length, sha256: this.#codecs.sha256(bytes), origin };
  }

  #parents(path: string): void {
    const folder = folderOf(path);
    if (folder === '' || this.#entries.has(folder)) return;
    this.#parents(folder);
    this.#entries.set(folder, { kind: 'directory', path: folder, mode: 0o755 });
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
