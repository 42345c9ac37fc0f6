// Owns the decoding speed of one sequence, ours and llama.cpp's on the same weights as Q8_0, token by token from a prompt
// of four. llama.cpp is fetched from npm into .cache when asked for; it runs under node-llama-cpp, whose share counts too.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { Executor } from '../engine/executor.ts';
import { loadCorpus } from '../trainer/corpus.ts';
import { createDecodeRunner } from '../trainer/decode-runner.ts';
import { encodeGguf } from '../trainer/gguf.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import type { ModelConfig } from '../trainer/model.ts';
import { type PresetName, preset } from '../trainer/presets.ts';
import { DEFAULT_VOCAB, trainTokenizer } from '../trainer/tokenizer-training.ts';
import { type Times, append, median, noTimes, round2, time, trustedClock } from './timing.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGES = ['node-llama-cpp@3.22.1', '@node-llama-cpp/linux-x64@3.22.1'];
const PROMPT = [1, 2, 3, 4];
const MODELS: readonly Readonly<{ name: PresetName; tokens: number }>[] = [
  { name: '3.4m', tokens: 120 },
  { name: '30m', tokens: 240 },
];
const ROUNDS = 3;

/** Folder with llama.cpp, or why there is none. */
function provideLlama(): Readonly<{ folder: string }> | string {
  const folder = join(root, '.cache', 'llama');
  if (existsSync(join(folder, 'node_modules', 'node-llama-cpp'))) return { folder };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  console.log(`fetching the llama.cpp peer into .cache/llama: ${PACKAGES.join(' ')}`);
  try {
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', ...PACKAGES];
    execFileSync('npm', args, { cwd: folder, stdio: 'ignore' });
    return { folder };
  } catch {
    rmSync(folder, { recursive: true, force: true });
    return 'llama.cpp could not be fetched from npm';
  }
}

/** Greedy continuation of the prompt; returns the ids. */
function decoder(executor: Executor, config: ModelConfig, params: Uint8Array) {
  const runner = createDecodeRunner(executor, config, 1, [1, PROMPT.length]);
  runner.setParams(params);
  const best = (logits: Float32Array): number => {
    let top = 0;
    for (let i = 1; i < config.vocab; i++) if ((logits[i] ?? 0) > (logits[top] ?? 0)) top = i;
    return top;
  };
  const decode = (tokens: number): number[] => {
    const logits = runner.run(PROMPT.map((token, position) => ({ token, position, slot: 0 })));
    const ids = [best(logits.subarray((PROMPT.length - 1) * config.vocab))];
    while (ids.length < tokens) {
      const row = { token: present(ids.at(-1), 'id'), position: PROMPT.length + ids.length - 1, slot: 0 };
      ids.push(best(runner.run([row])));
    }
    return ids;
  };
  return { decode, close: () => runner.close() };
}

type LlamaLine = Readonly<{ tokens: number; wall: number; cpu: number; first: readonly number[] }>;

function llamaRun(folder: string, file: string, tokens: number): LlamaLine {
  const script = join(root, 'bench', 'peers', 'llama-decode.mjs');
  const out = execFileSync(process.execPath, [script, folder, file, String(tokens), '1'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(present(out.toString().trim().split('\n').at(-1), 'answer')) as LlamaLine;
}

function compare(
  executor: Executor,
  name: PresetName,
  tokens: number,
  llama: string | null,
  folder: string,
): number | null {
  const config = preset(name, DEFAULT_VOCAB);
  const params = initialWeights(config, sha256(utf8('bench decode')));
  const ours = decoder(executor, config, params);
  const [mine, theirs]: [Times, Times] = [noTimes(), noTimes()];
  const ids = ours.decode(tokens);
  let same = 0;
  for (let round = 0; round < ROUNDS; round++) {
    time(mine, () => ours.decode(tokens));
    if (llama === null) continue;
    const { wall, cpu, first } = llamaRun(folder, llama, tokens);
    append(theirs, { wall: [wall], cpu: [cpu] });
    same = first.findIndex((id, i) => id !== ids[i]);
    if (same < 0) same = first.length;
  }
  ours.close();
  const clock = trustedClock(llama === null ? [mine] : [mine, theirs]);
  const rate = (times: Times) => Math.round((1000 * tokens) / median(times[clock]));
  const other = llama === null ? '' : `, llama.cpp ${rate(theirs)} (first ${same} of 12 greedy tokens alike)`;
  console.log(`  ${name}: ${executor.description} ${rate(mine)} tokens/s by ${clock} time${other}`);
  return llama === null ? null : round2(median(theirs[clock]) / median(mine[clock]));
}

/** decodeVsLlamaCpp is of the 30M model, all of it Q8_0; the small model's down projections stay f16 in GGUF. */
export async function decodeFigures(
  engines: ReadonlyMap<string, Executor>,
  best: string,
  alone: boolean,
): Promise<Readonly<Record<string, number | string | null>>> {
  const provided = alone ? 'not asked for' : provideLlama();
  console.log(
    `\ndecoding one sequence, one thread; llama.cpp: ${typeof provided === 'string' ? provided : PACKAGES[0]}`,
  );
  const folder = mkdtempSync(join(tmpdir(), 'bench-gguf-'));
  const texts = loadCorpus('moby-dick').train.map(({ text }) => text);
  const tokenizer = unwrap(trainTokenizer(texts, DEFAULT_VOCAB));
  const executor = present(engines.get(`${best} 1`), 'engine');
  const figures: Record<string, number | string | null> = { decodeVsLlamaCpp: null };
  try {
    for (const { name, tokens } of MODELS) {
      const config = preset(name, DEFAULT_VOCAB);
      const file = join(folder, `${name}.gguf`);
      const params = initialWeights(config, sha256(utf8('bench decode')));
      if (typeof provided !== 'string') writeFileSync(file, encodeGguf(config, params, tokenizer, name));
      const llama = typeof provided === 'string' ? null : file;
      const figure = compare(executor, name, tokens, llama, typeof provided === 'string' ? '' : provided.folder);
      figures[name === '30m' ? 'decodeVsLlamaCpp' : `decodeVsLlamaCpp@${name}`] = figure;
    }
  } catch (error) {
    figures.decodeWhy = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (typeof provided === 'string') figures.decodeWhy = provided;
  return figures;
}
