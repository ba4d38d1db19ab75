// SPDX-License-Identifier: Apache-2.0

// Holds the sources to ARCHITECTURE.md. The compiler enforces most of the import table through project references;
// this closes what it leaves open: a reference reaches through to what it references itself, a specifier might leave
// src, and a tsconfig might say something else than the table.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { importSpecifiers } from './import-specifiers.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LINES_OF_A_FILE = 400;
const LINES_OF_A_README = 30;

interface Row {
  readonly folder: string;
  readonly mayImport: readonly string[];
  readonly packages: readonly string[];
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const list = (cell: string): string[] => (cell === '–' ? [] : cell.split(', '));

/** The rows under "Who may import whom". */
function importTable(): Row[] {
  const section = read('ARCHITECTURE.md').split('\n## Who may import whom\n')[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !/^\| (folder|---)/.test(line));
  return rows.map((line) => {
    const [folder, mayImport, packages] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    assert(folder !== undefined && mayImport !== undefined && packages !== undefined, `three columns: ${line}`);
    return { folder, mayImport: list(mayImport), packages: list(packages) };
  });
}

/** Files below a folder of the root, with forward slashes, relative to the root. */
function filesBelow(folder: string, ending: RegExp): string[] {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  const paths = names.map((name) => posix.join(folder, name.replaceAll('\\', '/')));
  return paths.filter((path) => ending.test(path) && statSync(join(root, path)).isFile()).sort();
}

const table = importTable();
const rowOf = new Map(table.map((row) => [row.folder, row]));
const exists = (folder: string): boolean => existsSync(join(root, 'src', folder));
const present = table.filter((row) => exists(row.folder));
const isTest = (path: string): boolean => path.endsWith('.test.ts');
const sources = filesBelow('src', /\.ts$/);

/** The folder of the table that a path belongs to: `src/platform/node/x.ts` is of `platform/node`. */
function folderOf(path: string): string | undefined {
  const parts = path.split('/').slice(1, -1);
  return [parts.slice(0, 2).join('/'), parts[0] ?? ''].find((folder) => rowOf.has(folder));
}

/** Every folder that chains of rows lead to. */
function reach(folder: string, seen = new Set<string>()): Set<string> {
  for (const next of rowOf.get(folder)?.mayImport ?? []) {
    if (!seen.has(next)) reach(next, seen.add(next));
  }
  return seen;
}

/** What is wrong with one import of one file; undefined when nothing is. */
function importFault(path: string, specifier: string): string | undefined {
  const row = rowOf.get(folderOf(path) ?? '');
  if (row === undefined) return 'is in a folder that the table does not have';
  if (!specifier.startsWith('.')) {
    const allowed = row.packages.some(
      (name) => name === specifier || (name === 'node:*' && specifier.startsWith('node:')),
    );
    return allowed ? undefined : `is no package of ${row.folder}`;
  }
  if (!specifier.endsWith('.ts')) return 'does not end in .ts';
  const target = posix.join(posix.dirname(path), specifier);
  if (!target.startsWith('src/')) return 'leaves src';
  if (isTest(target)) return 'is a test';
  const folder = folderOf(target);
  if (folder === row.folder || (folder !== undefined && row.mayImport.includes(folder))) return undefined;
  return `is not in the row of ${row.folder}`;
}

/** The tsconfig a row asks for, so that none says more or less. */
function expectedConfig(row: Row): unknown {
  const up = '../'.repeat(row.folder.split('/').length);
  const out = `${up}../dist/${row.folder}`;
  const own: Record<string, unknown> = {
    'platform/node': { types: ['node'] },
    // Types of valibot name Blob and File, and the core folders have no DOM.
    system: { skipLibCheck: true },
    'platform/web': { lib: ['es2024', 'dom'] },
  };
  return {
    extends: `${up}../tsconfig.base.json`,
    compilerOptions: { rootDir: '.', outDir: out, tsBuildInfoFile: `${out}/.tsbuildinfo`, ...(own[row.folder] ?? {}) },
    include: ['**/*.ts'],
    exclude: ['**/*.test.ts'],
    references: row.mayImport.filter(exists).map((folder) => ({ path: `${up}${folder}` })),
  };
}

describe('the import table', () => {
  it('is there, and each row lists only folders of rows above it', () => {
    assert(table.length > 10, `${table.length} rows were read`);
    table.forEach((row, index) => {
      const above = table.slice(0, index).map((other) => other.folder);
      const wrong = row.mayImport.filter((folder) => !above.includes(folder));
      assert.deepEqual(wrong, [], `row ${row.folder}`);
    });
  });

  it('lets no chain lead from l0 to machine, nor from machine to l0', () => {
    assert(reach('l0').has('hardware'));
    assert(!reach('l0').has('machine'));
    assert(!reach('machine').has('l0'));
  });

  it('has a row for every folder of src', () => {
    const folders = [...new Set(sources.map((path) => folderOf(path) ?? `no row: ${path}`))];
    assert.deepEqual(
      folders.filter((folder) => !rowOf.has(folder)),
      [],
    );
  });

  it('is obeyed by every import outside tests', () => {
    const files = sources.filter((path) => !isTest(path));
    const imports = files.flatMap((path) => importSpecifiers(read(path)).map((specifier) => ({ path, specifier })));
    assert(imports.length > 0, 'no import was found at all');
    const faults = imports.flatMap(({ path, specifier }) => {
      const fault = importFault(path, specifier);
      return fault === undefined ? [] : [`${path}: '${specifier}' ${fault}`];
    });
    assert.deepEqual(faults, []);
  });
});

describe('each folder of src', () => {
  for (const row of present) {
    it(`${row.folder} has the tsconfig of its row and a short README`, () => {
      assert.deepEqual(JSON.parse(read(`src/${row.folder}/tsconfig.json`)), expectedConfig(row));
      const readme = `src/${row.folder}/README.md`;
      assert(existsSync(join(root, readme)), `${readme} is missing`);
      const lines = read(readme).trimEnd().split('\n').length;
      assert(lines <= LINES_OF_A_README, `${readme} has ${lines} lines`);
    });
  }

  it('is built by the solution, in the order of the table', () => {
    const { files, references } = JSON.parse(read('tsconfig.json')) as { files: unknown; references: unknown };
    assert.deepEqual(
      { files, references },
      { files: [], references: present.map((row) => ({ path: `src/${row.folder}` })) },
    );
  });

  it('emits nothing from a project with an error, and takes no declarations from outside', () => {
    const { compilerOptions } = JSON.parse(read('tsconfig.base.json')) as { compilerOptions: Record<string, unknown> };
    const { noEmitOnError, types, lib, composite, strict } = compilerOptions;
    const expected = { noEmitOnError: true, types: [], lib: ['es2024'], composite: true, strict: true };
    assert.deepEqual({ noEmitOnError, types, lib, composite, strict }, expected);
    const outside = sources.filter((path) => path.endsWith('.d.ts') || /^\s*\/\/\/\s*<reference/m.test(read(path)));
    assert.deepEqual(outside, []);
  });
});

describe('each source file', () => {
  const everything = ['src', 'tests', 'tools', 'bench', 'bin', 'guests'].flatMap((folder) =>
    filesBelow(folder, /\.(ts|js|mjs|cjs)$/),
  );

  it('starts with its licence', () => {
    const line = '// SPDX-License-Identifier: Apache-2.0';
    const bare = everything.filter(
      (path) =>
        read(path)
          .replace(/^#!.*\n/, '')
          .split('\n')[0] !== line,
    );
    assert.deepEqual(bare, []);
  });

  it('has at most 400 lines unless it says it is a table', () => {
    const long = everything.filter((path) => {
      const lines = read(path).trimEnd().split('\n');
      return lines.length > LINES_OF_A_FILE && !lines.slice(0, 5).some((line) => line.startsWith('// Table: '));
    });
    assert.deepEqual(long, []);
  });
});

describe('the reading path', () => {
  it('says of each file whether it is here', () => {
    const rows = [...read('ARCHITECTURE.md').matchAll(/^\| \d+ \| `(.+?)` \|.*\| (\w+) \|$/gm)];
    assert.equal(rows.length, 10);
    const wrong = rows.filter(([, path = '', here]) => here !== (existsSync(join(root, path)) ? 'yes' : 'later'));
    assert.deepEqual(
      wrong.map(([line]) => line),
      [],
    );
  });
});

describe('the lockfile', () => {
  it('names no registry, and pins one Node for each platform by checksum', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { resolved?: string; integrity?: string }>;
    };
    assert.deepEqual(
      Object.values(packages).filter((entry) => entry.resolved?.includes('://')),
      [],
    );
    const pins = Object.keys(
      (JSON.parse(read('tools/node/package.json')) as { optionalDependencies: object }).optionalDependencies,
    );
    assert.equal(pins.length, 5);
    for (const name of pins) assert.match(packages[`node_modules/${name}`]?.integrity ?? '', /^sha512-/, name);
  });
});

describe('links in the documents', () => {
  for (const path of ['README.md', 'ARCHITECTURE.md', 'RATIONALE.md', ...filesBelow('docs', /\.md$/)]) {
    it(`of ${path} lead somewhere`, () => {
      const targets = [...read(path).matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)].map((match) => match[1] ?? '');
      const absent = targets.filter((target) => !existsSync(resolve(join(root, dirname(path)), target)));
      assert.deepEqual(
        absent.map((target) => relative(root, target)),
        [],
      );
    });
  }
});
