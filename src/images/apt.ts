// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { dependencyNames, readDeb822 } from '../formats/deb822.ts';
import type { Paragraph } from '../formats/deb822.ts';
import type { TarEntry } from '../formats/tar.ts';
import { openDeb } from './package-files.ts';
import type { CommandResult, ImageHost } from './ports.ts';

/** One version of one package, as the machine's package lists describe it. Sizes are bytes. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly section: string;
  readonly size: number;
  /** Of the .deb; apt has verified the list that says so against the archive's signature. */
  readonly sha256: string;
  /** Names from Depends and Pre-Depends, of alternatives the first. */
  readonly dependsOn: readonly string[];
}

/** Names in the cache. */
const FOLDER = 'apt';
const CONFIGURATION = `${FOLDER}/apt.conf`;
const PACKAGES = 'packages';

const WAY_OUT =
  'pass a kernel and an initial RAM disk of your own with --kernel FILE and --initrd FILE, which needs no packages';

/**
 * The machine's own apt client with private state: it reads the machine's sources, keys and proxies, and keeps lists,
 * caches and downloads in our folder, so that it needs no root and the machine's package state is not touched.
 */
export class Apt {
  readonly #host: ImageHost;
  readonly #contents = new Map<string, readonly TarEntry[]>();
  #updated = false;
  /** What `apt-get update` complained about; shown when a package cannot be had. */
  #complaints = '';

  constructor(host: ImageHost) {
    this.#host = host;
  }

  /** Fetches the package lists, once for the life of this object. */
  async update(): Promise<void> {
    if (this.#updated) return;
    this.#host.progress.stage("getting the package lists with the machine's apt");
    await this.#configure();
    const result = await this.#run('apt-get', ['-q', 'update'], 'get the package lists');
    this.#complaints = problems(result.stderr);
    this.#updated = true;
  }

  /** The candidate version of each name ("NAME" or "NAME=VERSION"), in the order asked for. */
  async show(names: readonly string[]): Promise<DebianPackage[]> {
    if (names.length === 0) return [];
    const what = `look up the packages ${names.join(' ')}`;
    const result = await this.#run('apt-cache', ['--no-all-versions', 'show', ...names], what);
    const found = readDeb822(result.stdout).map(describe);
    return names.map((name) => {
      const match = found.find((candidate) => isMatch(name, candidate));
      if (match === undefined) throw this.#failure(what, `apt knows no package ${name}`);
      return match;
    });
  }

  /** The packages with all that they depend on, recommendations left out, as apt itself resolves them. */
  async withDependencies(names: readonly string[]): Promise<DebianPackage[]> {
    if (names.length === 0) return [];
    const args = ['-qq', '--yes', '--no-install-recommends', '--print-uris', 'install', ...names];
    const result = await this.#run('apt-get', args, `resolve what ${names.join(' ')} depend on`);
    return this.show(archiveNames(result.stdout).map(({ name, version }) => `${name}=${version}`));
  }

  /** Makes sure that the archives of these packages are in the cache, whole and as the lists describe them. */
  async fetch(packages: readonly DebianPackage[]): Promise<void> {
    const missing = await this.#missing(packages);
    if (missing.length === 0) return;
    const { cache, progress } = this.#host;
    const total = missing.reduce((sum, { size }) => sum + size, 0);
    const what = `download ${missing.map(({ name }) => name).join(' ')}`;
    progress.stage(`downloading ${missing.length} packages`);
    const args = [
      '-q',
      '-o',
      'APT::Status-Fd=1',
      'download',
      ...missing.map(({ name, version }) => `${name}=${version}`),
    ];
    await this.#run('apt-get', args, what, PACKAGES, (line) => {
      const percent = downloadPercent(line);
      if (percent !== undefined) progress.amount((total * percent) / 100, total, 'bytes');
    });
    const bad = await this.#missing(missing);
    if (bad.length === 0) return;
    throw this.#failure(what, `${cache.path(archiveName(bad[0]!))} is not what the package lists describe`);
  }

  /** What a package holds. `fetch` it first. Kept: the kernel goes into several guests. */
  async contents(wanted: DebianPackage): Promise<readonly TarEntry[]> {
    const known = this.#contents.get(wanted.sha256);
    if (known !== undefined) return known;
    const entries = await openDeb(await this.#archive(wanted), wanted.name, this.#host.codecs);
    this.#contents.set(wanted.sha256, entries);
    return entries;
  }

  async #archive(wanted: DebianPackage): Promise<Uint8Array> {
    const bytes = await this.#host.cache.read(archiveName(wanted));
    if (bytes !== undefined && this.#host.codecs.sha256(bytes) === wanted.sha256) return bytes;
    await this.fetch([wanted]);
    return (await this.#host.cache.read(archiveName(wanted)))!;
  }

  async #missing(packages: readonly DebianPackage[]): Promise<DebianPackage[]> {
    const { cache, codecs, progress } = this.#host;
    const missing: DebianPackage[] = [];
    for (const candidate of packages) {
      const bytes = await cache.read(archiveName(candidate));
      if (bytes !== undefined && codecs.sha256(bytes) === candidate.sha256) continue;
      if (bytes !== undefined) {
        progress.notice(`${cache.path(archiveName(candidate))} has a wrong checksum: downloading it again`);
        await cache.remove(archiveName(candidate));
      }
      missing.push(candidate);
    }
    return missing;
  }

  async #configure(): Promise<void> {
    const { cache, codecs } = this.#host;
    for (const folder of ['state/lists/partial', 'cache/archives/partial'])
      await cache.makeFolder(`${FOLDER}/${folder}`);
    await cache.makeFolder(PACKAGES);
    await cache.write(`${FOLDER}/status`, new Uint8Array(0));
    const dump = await this.#host.commands.run('apt-config', ['dump', 'Acquire::IndexTargets'], cache.path(FOLDER));
    await cache.write(CONFIGURATION, codecs.utf8(configuration(cache.path(FOLDER), indexTargets(dump.stdout))));
  }

  async #run(
    program: string,
    args: string[],
    what: string,
    folder = FOLDER,
    onLine?: (line: string) => void,
  ): Promise<CommandResult> {
    const { cache, commands } = this.#host;
    const all = ['-c', cache.path(CONFIGURATION), ...args];
    const result = await commands.run(program, all, cache.path(folder), onLine);
    if (result.status === undefined) throw this.#failure(what, `this machine has no ${program}`);
    if (result.status === 0) return result;
    if (/No space left on device/i.test(result.stderr)) {
      throw new UserError(
        `The disk with ${cache.path('')} is full: apt could not ${what}.`,
        'make room there, or choose another folder with XDG_CACHE_HOME',
      );
    }
    throw this.#failure(what, problems(result.stderr) || `${program} ended with status ${result.status}`);
  }

  #failure(what: string, why: string): UserError {
    const earlier = this.#complaints === '' ? '' : ` (the update of the lists said: ${this.#complaints})`;
    return new UserError(`Could not ${what} with the machine's apt: ${why}${earlier}.`, WAY_OUT);
  }
}

/**
 * apt's settings for private state. Hooks that other software has hung on apt are cleared: they are for the machine's
 * own packages. `otherTargets` are index targets besides Packages (translations, file lists, icons): not fetched.
 */
export function configuration(folder: string, otherTargets: readonly string[]): string {
  return [
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Install-Pkgs;',
    '#clear DPkg::Post-Invoke;',
    '#clear APT::Architectures;',
    'APT::Architecture "amd64";',
    'APT::Architectures { "amd64"; };',
    'APT::Sandbox::User "root";',
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::Languages "none";',
    ...otherTargets.map((target) => `Acquire::IndexTargets::${target}::DefaultEnabled "false";`),
    `Dir::State "${folder}/state";`,
    `Dir::State::lists "${folder}/state/lists";`,
    `Dir::State::status "${folder}/status";`,
    `Dir::Cache "${folder}/cache";`,
    `Dir::Cache::archives "${folder}/cache/archives";`,
    'Dir::Cache::pkgcache "pkgcache.bin";',
    'Dir::Cache::srcpkgcache "srcpkgcache.bin";',
    '',
  ].join('\n');
}

/** Index targets that the machine's configuration defines, except the one that lists packages: "deb::DEP-11" ... */
export function indexTargets(dump: string): string[] {
  const targets = [...dump.matchAll(/^Acquire::IndexTargets::(deb|deb-src)::([^:]+)::MetaKey /gm)];
  return targets.map(([, type, name]) => `${type}::${name}`).filter((target) => target !== 'deb::Packages');
}

/** Package names and versions from the lines of `apt-get --print-uris`: 'ADDRESS' NAME_VERSION_ARCHITECTURE.deb SIZE HASH. */
export function archiveNames(printUris: string): { name: string; version: string }[] {
  return [...printUris.matchAll(/^'[^']*' (\S+)_(\S+)_(\S+)\.deb \d+/gm)].map(([, name, version]) => ({
    name: name!,
    version: version!.replaceAll('%3a', ':'),
  }));
}

/** apt's status line `dlstatus:FILES:PERCENT:TEXT`; undefined for other lines. */
export function downloadPercent(line: string): number | undefined {
  const match = /^dlstatus:\d+:([\d.]+):/.exec(line);
  return match === null ? undefined : Number(match[1]);
}

/** Where `apt-get download` leaves a package; the colon of an epoch is escaped in the name. */
function archiveName({ name, version, architecture }: DebianPackage): string {
  return `${PACKAGES}/${name}_${version.replaceAll(':', '%3a')}_${architecture}.deb`;
}

function describe(paragraph: Paragraph): DebianPackage {
  const field = (name: string) => paragraph.get(name) ?? '';
  return {
    name: field('Package'),
    version: field('Version'),
    architecture: field('Architecture'),
    section: field('Section'),
    size: Number(field('Size')),
    sha256: field('SHA256'),
    dependsOn: [...dependencyNames(field('Pre-Depends')), ...dependencyNames(field('Depends'))],
  };
}

function isMatch(request: string, candidate: DebianPackage): boolean {
  const [name, version] = request.split('=');
  return candidate.name === name && (version === undefined || candidate.version === version);
}

/** The first two error lines of apt, or failing those of its warnings, on one line: the rest repeats them. */
function problems(stderr: string): string {
  const lines = stderr.split('\n');
  const errors = lines.filter((line) => line.startsWith('E: '));
  const chosen = errors.length > 0 ? errors : lines.filter((line) => line.startsWith('W: '));
  return chosen
    .slice(0, 2)
    .map((line) =>
      line
        .slice(3)
        .trim()
        .replace(/[.:]+$/, ''),
    )
    .join('; ');
}
