// The bench command: how fast this machine trains, by model size, and what its engine is.

import type { CommandModule } from 'yargs';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import { systemClock } from '../../node/clock.ts';
import { loadConfig } from '../../node/config.ts';
import type { EngineBenchRow } from '../../node/engine-bench.ts';
import { PRESET_NAMES, type PresetName } from '../../trainer/presets.ts';
import { configOptions, flagsOf } from '../config-options.ts';

type Arguments = { what: string; presets: readonly string[]; seconds: number; json: boolean } & Record<string, unknown>;

const DEFAULT_PRESETS: readonly PresetName[] = ['0.3m', '1m', '3.4m', '10m', '30m'];

function chosen(names: readonly string[]): readonly PresetName[] {
  for (const name of names) {
    if (!(PRESET_NAMES as readonly string[]).includes(name))
      throw new FaultError(fault('bench', `preset ${name.slice(0, 40)} is not one of ${PRESET_NAMES.join(', ')}`));
  }
  return names.length > 0 ? (names as readonly PresetName[]) : DEFAULT_PRESETS;
}

function line(row: EngineBenchRow): string {
  if (!row.ok) return `${row.preset.padEnd(6)} ${row.reason}`;
  const { preset, tokensPerSecond, stepMs, hashShare, tokens, plan } = row;
  const rate = `${Math.round(tokensPerSecond)} tokens/s`.padStart(16);
  const step = `${stepMs.toFixed(1)} ms a step of ${tokens} tokens`.padStart(34);
  return `${preset.padEnd(6)}${rate}${step}, roots ${(100 * hashShare).toFixed(1)}%  (${plan})`;
}

export const benchCommand: CommandModule<object, Arguments> = {
  command: 'bench <what> [presets..]',
  describe: 'measure how fast this machine trains: bench engine [preset ...]',
  builder: ((yargs: {
    positional: (name: string, options: object) => typeof yargs;
    options: (all: object) => unknown;
  }) =>
    yargs
      .positional('what', { choices: ['engine'], describe: 'what to measure' })
      .positional('presets', { array: true, type: 'string', default: [], describe: PRESET_NAMES.join(', ') })
      .options({
        ...configOptions,
        seconds: { type: 'number', default: 3, describe: 'seconds for each size' },
        json: { type: 'boolean', default: false, describe: 'print JSON' },
      })) as never,
  async handler(args) {
    const { config } = unwrap(loadConfig({ flags: flagsOf(args), environment: process.env }));
    if (!(args.seconds > 0 && args.seconds <= 600))
      throw new FaultError(fault('bench', `seconds: must be above 0 and at most 600, not ${args.seconds}`));
    const presets = chosen(args.presets.map(String));
    const { benchEngine } = await import('../../node/engine-bench.ts');
    const rows: EngineBenchRow[] = [];
    let machine: unknown = null;
    await benchEngine(
      {
        engine: config.engine,
        threads: config.engine_threads,
        memoryMb: config.engine_memory_mb,
        presets,
        eachMs: 1000 * args.seconds,
        clock: systemClock,
      },
      (found) => {
        machine = found;
        if (args.json) return;
        console.log(`${found.backend}; ${found.processor}, ${found.cores} cores`);
        const levels =
          found.nativeLevels.length > 0 ? found.nativeLevels.join(', ') : 'none, WebAssembly runs everything';
        console.log(`native levels here: ${levels}; hardware SHA-256: ${found.hardwareHashes ? 'yes' : 'no'}`);
      },
      (row) => {
        rows.push(row);
        if (!args.json) console.log(line(row));
      },
    );
    if (args.json) console.log(JSON.stringify({ machine, rows }));
  },
};
