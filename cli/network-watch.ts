// Owns the demo's view of its network: asks one node every second and prints a line whenever something has moved.

import { FaultError } from '../base/fault.ts';
import { systemClock } from '../node/clock.ts';
import { getJson } from './api-client.ts';

type Json = Readonly<Record<string, unknown>>;
type Round = Readonly<{
  round: number;
  phase: string;
  contributions: readonly Readonly<{ state: string; verdicts: readonly Readonly<{ verdict: string }>[] }>[];
}>;

const POLL_MS = 1_000;
const HOST = '127.0.0.1';

function auditsOf(round: Round | undefined): string {
  const verdicts = (round?.contributions ?? []).flatMap((claim) => claim.verdicts);
  const count = (kind: string): number => verdicts.filter(({ verdict }) => verdict === kind).length;
  const committed = (round?.contributions ?? []).filter(
    ({ state }) => state !== 'working' && state !== 'absent',
  ).length;
  return `committed ${committed}/${round?.contributions.length ?? 0}  audits ${count('valid')} executed ${count('passed')} passed ${count('invalid')} invalid`;
}

const loss = (value: unknown): string => (typeof value === 'number' ? value.toFixed(4) : 'not yet');

/** Step of the slowest trainer at work and the tokens/s of all of them together; empty while none trains. */
function trainersAtWork(trainers: readonly Json[]): string {
  const working = trainers.filter((training) => training.is_training === true);
  if (working.length === 0) return '';
  const step = Math.min(...working.map((training) => Number(training.step ?? 0)));
  const rate = working.reduce((sum, training) => sum + Number(training.tokens_per_second ?? 0), 0);
  return `step ${step}/${working[0]?.steps_per_round} at ${Math.round(rate)} tokens/s`;
}

/** Rounds, loss, audits and minted coins as text, one line a change. */
function line(status: Json, training: Json, supply: Json, round: Round | undefined, trainers: readonly Json[]): string {
  const parts = [
    `block ${status.blockchain_height}`,
    round === undefined ? 'no round yet' : `round ${round.round} ${round.phase}`,
    trainersAtWork(trainers),
    auditsOf(round),
    `loss ${loss(training.training_loss)} training, ${loss(training.held_out_loss)} held out`,
    `minted ${supply.minted} POL`,
  ];
  return parts.filter((part) => part !== '').join('  |  ');
}

/** Prints until aborted (null) or until so many rounds were accepted (null). A message when the network does not come up. */
export async function watchNetwork(
  port: number,
  trainerPorts: readonly number[],
  rounds: number | null,
  signal: AbortSignal,
): Promise<string | null> {
  const node = { host: HOST, port };
  let last = '';
  let shownAt = 0;
  let accepted = 0;
  const started = systemClock.monotonic();
  while (!signal.aborted) {
    await systemClock.sleep(POLL_MS);
    try {
      const [status, training, supply, recent] = await Promise.all([
        getJson(node, '/api/v1/status'),
        getJson(node, '/api/v1/training/status'),
        getJson(node, '/api/v1/supply'),
        getJson(node, '/api/v1/rounds?limit=1'),
      ]);
      const trainers = await Promise.all(
        trainerPorts.map((trainerPort) =>
          getJson({ host: HOST, port: trainerPort }, '/api/v1/training/status').catch((): Json => ({})),
        ),
      );
      const round = ((recent.items ?? recent.rounds ?? []) as Round[])[0];
      const seconds = Math.round((systemClock.monotonic() - started) / 1_000);
      const text = line(status, training, supply, round, trainers);
      const key = text.replace(/^block \d+/, '');
      if (key !== last || seconds - shownAt >= 15) {
        console.log(`${String(seconds).padStart(5)} s  ${text}`);
        [last, shownAt] = [key, seconds];
      }
      const now = Number(training.accepted_rounds ?? 0);
      if (now > accepted)
        console.log(
          `         round accepted: model ${String(status.model_root).slice(0, 18)}, held-out loss ${loss(training.held_out_loss)}`,
        );
      accepted = now;
      if (rounds !== null && accepted >= rounds) return null;
    } catch (error) {
      // While nodes start, nobody answers yet.
      if (!(error instanceof FaultError)) throw error;
    }
  }
  return null;
}
