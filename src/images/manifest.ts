// SPDX-License-Identifier: Apache-2.0

/** Where a file of an image comes from. */
export type Origin =
  | { readonly kind: 'package'; readonly package: string; readonly version: string; readonly path: string }
  | { readonly kind: 'script'; readonly path: string }
  | { readonly kind: 'generated'; readonly by: string };

/** One file of a guest. `path` is the path in the initramfs, or "kernel" for the kernel itself. */
export interface ManifestFile {
  readonly path: string;
  readonly size: number;
  /** Lower-case hexadecimal SHA-256 of the bytes in the image. */
  readonly sha256: string;
  readonly origin: Origin;
}

/** A package that went into a guest. `sha256` is that of the .deb, as apt's signed lists give it. */
export interface ManifestPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: string;
}

/** What a guest is made of, so that anybody can compare it with the packages. */
export interface Manifest {
  readonly recipe: string;
  readonly kernel: ManifestFile;
  /** Files of the initramfs, sorted by path; folders, symlinks and devices are left out. */
  readonly files: readonly ManifestFile[];
  /** Packages of which at least one file is used, sorted by name. */
  readonly packages: readonly ManifestPackage[];
  /** Manifests of the guests inside, by their folder. */
  readonly guests: Readonly<Record<string, Manifest>>;
}
