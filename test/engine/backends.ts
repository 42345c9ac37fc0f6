// Owns the list of fast backends under test: wasm at one and two threads, and native at every level this machine has.

import { check } from '../../base/check.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { createNativeExecutor, nativeLevels } from '../../engine/native-executor.ts';

export async function fastBackends(): Promise<readonly Executor[]> {
  const executors = [
    await createExecutor({ backend: 'wasm' }),
    await createExecutor({ backend: 'wasm', threads: 2 }),
    await createExecutor({ backend: 'wasm', threads: 3 }),
  ];
  for (const level of nativeLevels()) {
    for (const threads of [1, 2]) {
      const executor = createNativeExecutor(threads, level);
      check(typeof executor !== 'string', String(executor));
      executors.push(executor);
    }
  }
  return executors;
}
