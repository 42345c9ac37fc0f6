// The llama.cpp peer of bench/engine.ts: decodes one sequence token by token. Arguments: folder with node_modules, GGUF
// file, tokens, threads. Prints one line of JSON a run.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, file, tokens, ...threads] = process.argv.slice(2);
const entry = join(folder, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
  maxThreads: 8,
});
const model = await llama.loadModel({ modelPath: file });
for (const count of threads.map(Number)) {
  const context = await model.createContext({
    contextSize: Number(tokens) + 64,
    batchSize: 64,
    threads: { ideal: count, min: count },
  });
  const sequence = context.getSequence();
  const run = async (length) => {
    await sequence.clearHistory();
    let made = 0;
    const ids = [];
    for await (const id of sequence.evaluate([1, 2, 3, 4], { temperature: 0, yieldEogToken: true })) {
      ids.push(id);
      if (++made >= length) break;
    }
    return ids;
  };
  await run(16);
  const [start, busy] = [performance.now(), process.cpuUsage()];
  const ids = await run(Number(tokens));
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(busy);
  console.log(
    JSON.stringify({ threads: count, tokens: ids.length, wall, cpu: (user + system) / 1000, first: ids.slice(0, 12) }),
  );
  await context.dispose();
}
process.exit(0);
