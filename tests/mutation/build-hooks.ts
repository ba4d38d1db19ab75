// SPDX-License-Identifier: Apache-2.0
// Builds: the same sources with some text changed, loaded beside each other in one process. A module URL with `?build=N`
// belongs to build N. Modules that cannot see a changed file, by their imports, are shared: a build of a
// table costs the loading of what stands above that table, some ten milliseconds. Production code carries no switches.

import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const COLLECTOR = new URL('./collector.ts', import.meta.url).href;
/** Static imports and re-exports that remain when types are gone. */
const IMPORTS = /^(?:import|export)\s(?!type\b)(?:[^'"`;]*?\sfrom\s+)?'(\.{1,2}\/[^']+)'/gm;

interface Build {
  /** By absolute path, sources that are not those on disk. */
  readonly changed: ReadonlyMap<string, string>;
  /** By absolute path, whether the file imports a changed one. */
  readonly sees: Map<string, boolean>;
}

const builds = new Map<string, Build>();
const sources = new Map<string, string>();
const imports = new Map<string, readonly string[]>();
const stripped = new Map<string, string>();

function sourceOf(path: string): string {
  let source = sources.get(path);
  if (source === undefined) sources.set(path, (source = readFileSync(path, 'utf8')));
  return source;
}

function importsOf(path: string): readonly string[] {
  let found = imports.get(path);
  if (found !== undefined) return found;
  found = [...sourceOf(path).matchAll(IMPORTS)].map(([, specifier]) =>
    fileURLToPath(new URL(specifier, pathToFileURL(path))),
  );
  imports.set(path, found);
  return found;
}

function sees(build: Build, path: string): boolean {
  const known = build.sees.get(path);
  if (known !== undefined) return known;
  // Files that import each other in a circle are all on the way: the answer is put right when the circle is closed.
  build.sees.set(path, false);
  const answer = build.changed.has(path) || importsOf(path).some((imported) => sees(build, imported));
  build.sees.set(path, answer);
  return answer;
}

/** Test files hold the tests of one run, so each run loads them. */
const belongs = (build: Build, path: string): boolean => /\.test(ing)?\.ts$/.test(path) || sees(build, path);

/** Announces a build; `changed` by absolute path. Gives what is appended to URLs. */
export function startBuild(number: number, changed: ReadonlyMap<string, string>): string {
  const search = `?build=${number}`;
  builds.set(search, { changed, sees: new Map() });
  return search;
}
export const endBuild = (search: string): void => void builds.delete(search);

/** Whether a test file's outcome can depend on the changed files. */
export const canSee = (search: string, path: string): boolean => sees(builds.get(search)!, path);

function javascript(build: Build, path: string): string {
  const changed = build.changed.get(path);
  if (changed !== undefined) return stripTypeScriptTypes(changed);
  let text = stripped.get(path);
  if (text === undefined) stripped.set(path, (text = stripTypeScriptTypes(sourceOf(path))));
  return text;
}

registerHooks({
  resolve(specifier, context, nextResolve) {
    const search = /\?build=\d+$/.exec(context.parentURL ?? '')?.[0];
    if (search === undefined) return nextResolve(specifier, context);
    if (specifier === 'node:test') return { url: COLLECTOR, shortCircuit: true };
    if (!specifier.startsWith('.')) return nextResolve(specifier, context);
    const url = new URL(specifier, context.parentURL);
    const path = fileURLToPath(url);
    if (!path.endsWith('.ts') || !belongs(builds.get(search)!, path)) return nextResolve(url.href, context);
    return { url: url.href + search, format: 'module', shortCircuit: true };
  },
  load(url, context, nextLoad) {
    const search = /\?build=\d+$/.exec(url)?.[0];
    if (search === undefined) return nextLoad(url, context);
    const build = builds.get(search)!;
    return { format: 'module', source: javascript(build, fileURLToPath(url)), shortCircuit: true };
  },
});
