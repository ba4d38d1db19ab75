// SPDX-License-Identifier: Apache-2.0
// `node tests/nested/assemble.ts`: makes l1.hex and scripted/scripted.hex from the sources; needs nasm.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONTROLS } from '../../src/arch/vmx/controls.ts';
import { EXIT_REASONS } from '../../src/arch/vmx/exit-reasons.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { IMAGES, imageText, sourcesDigest } from './image.ts';
import type { ImageSource } from './image.ts';
import * as layout from './scripted/layout.ts';

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** The names that the sources use for what src/arch numbers. */
function definitions(): string {
  return [
    ...FIELDS.map(({ name, encoding }) => `${name} equ ${hex(encoding)}`),
    ...EXIT_REASONS.map(({ name, number }) => `EXIT_${name} equ ${number}`),
    ...CONTROLS.map(({ group, name, bit }) => `${group}_${name} equ ${hex(1 << bit)}`),
  ].join('\n');
}

/** What else the scripted L1 and its tables agree on. */
function layoutDefinitions(): string {
  const { AT, SELECTOR, CR0_VALUE, CR4_VALUE } = layout;
  const names = { ...AT, ...SELECTOR, CR0_VALUE, CR4_VALUE, IA32_VMX_BASIC: 0x480, IA32_EFER: 0xc0000080 };
  return Object.entries(names).map(([name, value]) => `${name} equ ${hex(value)}`).join('\n'); // prettier-ignore
}

function assemble({ folder, source, scripted }: ImageSource): Uint8Array {
  const scratch = mkdtempSync(join(tmpdir(), 'turtles-nasm-'));
  try {
    const [names, output] = [join(scratch, 'names.inc'), join(scratch, 'image.bin')];
    writeFileSync(names, `${definitions()}\n${scripted ? layoutDefinitions() : ''}\n`);
    execFileSync('nasm', ['-f', 'bin', '-P', names, '-I', `${folder}/`, '-o', output, join(folder, source)]);
    return readFileSync(output);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

for (const image of Object.values(IMAGES)) {
  const bytes = assemble(image);
  const file = join(image.folder, image.hex);
  writeFileSync(file, imageText(sourcesDigest(image), bytes));
  console.log(`${file}: ${bytes.length} bytes`);
}
