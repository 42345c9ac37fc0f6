// Owns engines built from changed kernels, beside the real one: for the check that vectors catch mutations, and for the
// ablation against f32. A variant is a folder of its own and can never be taken for the real engine.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { check } from '../../base/check.ts';

/** A change of one place in one kernel file. */
export type Edit = Readonly<{ file: string; from: string; to: string }>;
export type VariantSource = Readonly<{ edits: readonly Edit[]; added?: Readonly<Record<string, string>> }>;

export type Variant = Readonly<{
  native: typeof import('../../engine/native-executor.ts');
  wasm: typeof import('../../engine/wasm-executor.ts');
  kernels: typeof import('../../engine/wasm-module.ts');
  /** What the build printed. */
  log: string;
  remove(): void;
}>;

/** The compiled test runs in build/test/engine; sources stand beside build. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** Compiles changed kernels with a copy of the executors beside them. Every edit must fit in exactly one place. */
export async function buildVariant(name: string, source: VariantSource, wasm: boolean): Promise<Variant> {
  const folder = join(root, 'build', 'variants', name);
  rmSync(folder, { recursive: true, force: true });
  for (const part of ['base', 'engine']) {
    cpSync(join(root, 'build', part), join(folder, part), {
      recursive: true,
      filter: (path) => !/kernels(-relaxed)?\.(wasm|so)/.test(path),
    });
  }
  const kernels = join(folder, 'kernels');
  mkdirSync(kernels);
  const original = join(root, 'engine', 'kernels');
  for (const file of readdirSync(original)) {
    let text = readFileSync(join(original, file), 'utf8');
    for (const edit of source.edits.filter((one) => one.file === file)) {
      check(text.split(edit.from).length === 2, `variant ${name}: "${edit.from}" must stand once in ${file}`);
      text = text.replace(edit.from, () => edit.to);
    }
    writeFileSync(join(kernels, file), text);
  }
  for (const [file, text] of Object.entries(source.added ?? {})) writeFileSync(join(kernels, file), text);
  const log = execFileSync(
    process.execPath,
    [join(root, 'scripts', 'build-engine.mjs'), kernels, join(folder, 'engine')],
    { env: { ...process.env, ENGINE_WASM: wasm ? '1' : '0' }, stdio: ['ignore', 'pipe', 'pipe'] },
  ).toString();
  const load = (file: string) => import(pathToFileURL(join(folder, 'engine', file)).href);
  return {
    native: (await load('native-executor.js')) as Variant['native'],
    wasm: (await load('wasm-executor.js')) as Variant['wasm'],
    kernels: (await load('wasm-module.js')) as Variant['kernels'],
    log,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
