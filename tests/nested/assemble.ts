// SPDX-License-Identifier: Apache-2.0
// `node tests/nested/assemble.ts`: makes l1.hex from the sources; needs nasm.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONTROLS } from '../../src/arch/vmx/controls.ts';
import { EXIT_REASONS } from '../../src/arch/vmx/exit-reasons.ts';
import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { IMAGE_FILE, imageText, sourcesDigest } from './image.ts';

/** The names that the sources use for what src/arch numbers. */
function definitions(): string {
  const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
  return [
    ...FIELDS.map(({ name, encoding }) => `${name} equ ${hex(encoding)}`),
    ...EXIT_REASONS.map(({ name, number }) => `EXIT_${name} equ ${number}`),
    ...CONTROLS.map(({ group, name, bit }) => `${group}_${name} equ ${hex(1 << bit)}`),
  ].join('\n');
}

function assemble(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'turtles-nasm-'));
  try {
    const [names, output] = [join(folder, 'names.inc'), join(folder, 'l1.bin')];
    writeFileSync(names, `${definitions()}\n`);
    const source = join(import.meta.dirname, 'l1.asm');
    execFileSync('nasm', ['-f', 'bin', '-P', names, '-I', `${import.meta.dirname}/`, '-o', output, source]);
    return readFileSync(output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const bytes = assemble();
writeFileSync(IMAGE_FILE, imageText(sourcesDigest(), bytes));
console.log(`${IMAGE_FILE}: ${bytes.length} bytes`);
