// Owns the CUDA backend as an executor: state and work lie in memory that device and host share, so that state stays on the
// device between steps and moves only when the host reads it. It runs only after the self-test gave the oracle's bits.

import { check } from '../../base/check.ts';
import type { Executor, LoadOptions, LoadedProgram } from '../executor.ts';
import { checkSharedState, loadedProgram } from '../loaded-program.ts';
import type { TensorProgram } from '../program.ts';
import { type CudaDevice, DRIVER_LIBRARY, type DeviceMemory, openCudaDevice } from './cuda-driver.ts';
import { launchesOf } from './cuda-launches.ts';

/** Words of the status (kernel.cuh): first failed instruction, greatest reason, counted targets. */
const STATUS_BYTES = 16;
const [FAILED_AT, REASON] = [0, 1];
const NONE = 2 ** 31 - 1;

/** The CUDA executor, or why there is none. `library` stands for the driver in tests. */
export function createCudaExecutor(library: string = DRIVER_LIBRARY): Executor | string {
  const device = openCudaDevice(library);
  if (typeof device === 'string') return device;
  const runtime: Runtime = { device, open: true };
  return {
    backend: 'cuda',
    description: `cuda on ${device.name}`,
    threads: 1,
    load: (program, options = {}) => load(runtime, program, options),
    async close() {
      if (runtime.open) device.close();
      runtime.open = false;
    },
  };
}

type Runtime = { readonly device: CudaDevice; open: boolean };
/** A state and how many open programs use it; the last to close frees it. */
type SharedState = { readonly memory: DeviceMemory; users: number };

const states = new WeakMap<LoadedProgram, SharedState>();

function load(runtime: Runtime, program: TensorProgram, { shareState }: LoadOptions): LoadedProgram {
  const { device } = runtime;
  check(runtime.open, 'load: the executor is closed');
  if (shareState !== undefined) checkSharedState(program, shareState.program);
  const { list, words } = launchesOf(program);
  const own: DeviceMemory[] = [];
  const take = (bytes: number): DeviceMemory => {
    try {
      const memory = device.allocate(bytes);
      own.push(memory);
      return memory;
    } catch (error) {
      for (const memory of own) memory.free();
      throw error;
    }
  };
  const work = take(program.arenaBytes - program.stateBytes);
  const commands = take(words.byteLength);
  const status = take(STATUS_BYTES);
  const known = shareState === undefined ? undefined : states.get(shareState);
  check(shareState === undefined || (known?.users ?? 0) > 0, 'shareState: not open in this executor');
  const state = known ?? { memory: take(program.stateBytes), users: 0 };
  if (known === undefined) own.pop();
  state.users++;
  new Int32Array(commands.buffer, 0, words.length).set(words);
  const flags = new Int32Array(status.buffer, 0, STATUS_BYTES / 4);
  const args = {
    state: state.memory.address,
    work: work.address,
    words: commands.address,
    status: status.address,
  };
  const loaded = loadedProgram(program, {
    state: { buffer: state.memory.buffer, at: 0 },
    work: { buffer: work.buffer, at: 0 },
    run() {
      check(runtime.open, 'run: the executor is closed');
      flags.set([NONE, 0, 0]);
      for (const { kernel, grid, block, at, offset } of list) device.launch(kernel, grid, block, args, at, offset);
      device.wait();
      return { reason: flags[REASON] ?? 0, at: flags[FAILED_AT] ?? NONE };
    },
    // Weights are packed anew in every run.
    weightsChanged: () => undefined,
    close() {
      state.users--;
      if (state.users === 0) own.push(state.memory);
      for (const memory of own.splice(0)) memory.free();
    },
  });
  states.set(loaded, state);
  return loaded;
}
