// SPDX-License-Identifier: Apache-2.0
// `node tests/fuzz/assemble.ts`: makes monitor.hex of monitor.asm and layout.ts; needs nasm.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAYOUT, PARAMETER } from './layout.ts';
import { MONITOR_FILE, monitorText, sourcesDigest } from './monitor.ts';

function assemble(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'turtles-nasm-'));
  try {
    const [names, output] = [join(folder, 'names.inc'), join(folder, 'monitor.bin')];
    const parameters = Object.entries(PARAMETER).map(([name, at]) => [`PARAMETER_${name}`, at]);
    const rows = [...Object.entries(LAYOUT), ...parameters];
    writeFileSync(names, rows.map(([name, value]) => `%define ${name} ${value}\n`).join(''));
    execFileSync('nasm', ['-f', 'bin', '-P', names, '-o', output, join(import.meta.dirname, 'monitor.asm')]);
    return readFileSync(output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const bytes = assemble();
writeFileSync(MONITOR_FILE, monitorText(sourcesDigest(), bytes));
console.log(`${MONITOR_FILE}: ${bytes.length} bytes`);
