// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandResult {
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs of this computer. They end with us, however we end. */
export class Commands {
  /** `status` is undefined when there is no such program, and 128 + n when signal n ended it. */
  run(
    program: string,
    args: readonly string[],
    folder: string,
    onLine?: (line: string) => void,
  ): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const environment = { ...process.env, LC_ALL: 'C' };
      const child = spawn(program, args, { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
      const end = () => child.kill();
      process.once('exit', end);
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
      if (onLine !== undefined) createInterface({ input: child.stdout }).on('line', onLine);
      const finish = (status: number | undefined) => {
        process.off('exit', end);
        resolve({ status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
      };
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') finish(undefined);
        else reject(error);
      });
      child.on('close', (code) => finish(code ?? 128));
    });
  }
}
