// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../base/errors.ts';
import { CacheFolder, defaultCacheFolder } from './cache-files.ts';

test('the cache is where the XDG specification says', () => {
  assert.equal(defaultCacheFolder({ XDG_CACHE_HOME: '/c', HOME: '/h' }), '/c/turtles');
  assert.equal(defaultCacheFolder({ XDG_CACHE_HOME: 'relative', HOME: '/h' }), '/h/.cache/turtles');
  assert.throws(() => defaultCacheFolder({}), UserError);
});

describe('a cache folder', () => {
  let root = '';
  let cache: CacheFolder;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'turtles-'));
    cache = new CacheFolder(join(root, 'cache'));
  });
  after(() => rm(root, { recursive: true }));

  test('files and folders come whole and are replaced', async () => {
    assert.equal(await cache.read('a/b'), undefined);
    assert.deepEqual(await cache.list('a'), []);
    await cache.write('a/b', Buffer.from('1'));
    await cache.write('a/b', Buffer.from('2'));
    assert.equal(Buffer.from((await cache.read('a/b'))!).toString(), '2');
    await cache.writeFolder(
      'a/f',
      new Map([
        ['x', Buffer.from('1')],
        ['y', Buffer.from('2')],
      ]),
    );
    await cache.writeFolder('a/f', new Map([['z', Buffer.from('3')]]));
    assert.deepEqual(await cache.list('a/f'), ['z']);
    await cache.remove('a');
    assert.deepEqual(await cache.list(''), ['temporary']);
  });

  test('a failed write leaves no trace', async () => {
    await cache.write('keep', Buffer.from('old'));
    const bad = new Map([
      ['x', Buffer.from('1')],
      ['not/possible', Buffer.from('2')],
    ]);
    await assert.rejects(cache.writeFolder('new', bad));
    assert.equal(await cache.read('new/x'), undefined);
    assert.deepEqual(await readdir(cache.path('temporary')), []);
  });

  test('errors of the file system are explained', async () => {
    await writeFile(cache.path('plain'), '');
    const refused = (work: Promise<unknown>, message: RegExp) =>
      assert.rejects(
        work,
        (error) => error instanceof UserError && message.test(error.message) && /XDG_CACHE_HOME/.test(error.hint),
      );
    await refused(cache.write('plain/x', Buffer.from('')), /Cannot use .*plain\/x: a part of that path is a file/);
    await refused(cache.read('plain/x'), /a part of that path is a file/);
    await cache.remove('plain');
  });

  test('one at a time, and what an interrupted process left is removed', async () => {
    await writeFile(cache.path('temporary/left'), '');
    const order: string[] = [];
    const first = cache.exclusively(
      () => order.push('first waits'),
      async () => {
        order.push('first');
        await sleep(300);
        order.push('first done');
      },
    );
    await sleep(50);
    await new CacheFolder(join(root, 'cache')).exclusively(
      () => order.push('second waits'),
      async () => void order.push('second'),
    );
    await first;
    assert.deepEqual(order, ['first', 'second waits', 'first done', 'second']);
    assert.deepEqual(await readdir(cache.path('temporary')), []);
  });

  test('the lock of a process that is gone counts for nothing, that of a living one holds', async () => {
    const gone = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => gone.on('exit', resolve));
    const lock = (pid: number, started: string) =>
      writeFile(cache.path('lock'), JSON.stringify({ host: hostname(), pid, started }));
    let ran = 0;
    const work = async () => void ran++;
    await lock(gone.pid!, '1');
    await cache.exclusively(() => {}, work);
    await lock(process.pid, 'another start');
    await cache.exclusively(() => {}, work);
    assert.equal(ran, 2);
    const living = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    const { readFileSync } = await import('node:fs');
    const stat = readFileSync(`/proc/${living.pid}/stat`, 'latin1');
    await lock(living.pid!, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!);
    const waited = cache.exclusively(() => ran++, work);
    await sleep(500);
    assert.equal(ran, 3, 'told to wait, and has not worked');
    living.kill();
    await waited;
    assert.equal(ran, 4);
  });
});
