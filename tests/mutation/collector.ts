// SPDX-License-Identifier: Apache-2.0
// What test files that are loaded as a build get for `node:test`: it collects their tests, and runs them one after the
// other until the first that fails. A mutant needs no report, only an answer, and that within milliseconds.

type Body = (context: object) => unknown;
type Hook = () => unknown;
interface Test {
  readonly name: string;
  readonly body: Body;
}
interface Suite {
  readonly name: string;
  readonly children: (Test | Suite)[];
  readonly before: Hook[];
  readonly after: Hook[];
  readonly beforeEach: Hook[];
}

const newSuite = (name: string): Suite => ({ name, children: [], before: [], after: [], beforeEach: [] });
let root = newSuite('');
let current = root;

/** Forgets what was collected: the next file begins. */
export function startCollecting(): void {
  root = current = newSuite('');
}

type Rest = readonly [Body] | readonly [object, Body];
const bodyOf = (name: string, rest: Rest): Body => {
  const [first, second] = rest;
  if (second !== undefined && Object.keys(first).some((key) => key !== 'timeout'))
    throw new Error(`${name}: an option of node:test that builds do not know`);
  return second ?? (first as Body);
};

export function describe(name: string, ...rest: Rest): void {
  const outer = current;
  current = newSuite(name);
  outer.children.push(current);
  bodyOf(name, rest)({});
  current = outer;
}
export function test(name: string, ...rest: Rest): void {
  current.children.push({ name, body: bodyOf(name, rest) });
}
export const it = test;
export const before = (hook: Hook): void => void current.before.push(hook);
export const after = (hook: Hook): void => void current.after.push(hook);
export const beforeEach = (hook: Hook): void => void current.beforeEach.push(hook);

/** `node:test`'s context is not offered: a test that needs it must say so, not quietly do less. */
const NO_CONTEXT = new Proxy(
  {},
  {
    get: (_, key) => {
      throw new Error(`the context of a test has no ${String(key)} in builds`);
    },
  },
);

export interface Ran {
  /** Tests that were executed. */
  readonly tests: number;
  readonly failed?: { readonly name: string; readonly error: string };
}

/** Runs what was collected: all of it, or the test of this full name (suites and test, joined by ' > '). */
export async function runCollected(only?: string): Promise<Ran> {
  let tests = 0;
  const wanted = (name: string): boolean => only === undefined || name === only;
  const contains = (suite: Suite, path: string): boolean =>
    suite.children.some((child) =>
      'body' in child ? wanted(path + child.name) : contains(child, `${path}${child.name} > `),
    );
  const run = async (suite: Suite, path: string, each: readonly Hook[]): Promise<Ran['failed']> => {
    if (!contains(suite, path)) return undefined;
    try {
      for (const hook of suite.before) await hook();
      for (const child of suite.children) {
        const failed =
          'body' in child
            ? await one(child, path + child.name, [...each, ...suite.beforeEach])
            : await run(child, `${path}${child.name} > `, [...each, ...suite.beforeEach]);
        if (failed !== undefined) return failed;
      }
      for (const hook of suite.after) await hook();
      return undefined;
    } catch (error) {
      return { name: `${path}(hooks)`, error: said(error) };
    }
  };
  const one = async (child: Test, name: string, hooks: readonly Hook[]): Promise<Ran['failed']> => {
    if (!wanted(name)) return undefined;
    tests++;
    try {
      for (const hook of hooks) await hook();
      await child.body(NO_CONTEXT);
      return undefined;
    } catch (error) {
      return { name, error: said(error) };
    }
  };
  const failed = await run(root, '', []);
  return failed === undefined ? { tests } : { tests, failed };
}

/** The first line of what was thrown. */
export const said = (error: unknown): string => String(error instanceof Error ? error.message : error).split('\n')[0];
