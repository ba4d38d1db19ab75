// SPDX-License-Identifier: Apache-2.0
// The kernel of `npm start`, instruction by instruction, beside iced-x86. The rest of this oracle is in tests/oracle/decoder.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../src/base/errors.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import { hypervisorGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { Comparison } from '../oracle/decoder/compare.ts';
import { vmlinuxSections } from '../oracle/decoder/images.ts';
import { sweep } from '../oracle/decoder/streams.ts';

const host = nodeImageHost();

/** The kernel, or why there is none. */
async function debianKernel(): Promise<Uint8Array | string> {
  try {
    return (await prepareGuest(hypervisorGuest(), host)).kernel;
  } catch (error) {
    if (error instanceof UserError) return `Debian's packages cannot be had: ${error.message}`;
    throw error;
  }
}

test("each instruction of Debian's kernel is decoded as iced-x86 decodes it", async (context) => {
  const kernel = await debianKernel();
  if (typeof kernel === 'string') return context.skip(kernel);
  const comparison = new Comparison();
  for (const section of await vmlinuxSections(kernel, (payload) => host.codecs.decompress('xz', payload)))
    sweep(comparison, section, 64);
  assert.deepEqual([...comparison.differences.values()].slice(0, 40), []);
  assert.ok(comparison.defined > 1_000_000, `${comparison.defined} instructions`);
});
