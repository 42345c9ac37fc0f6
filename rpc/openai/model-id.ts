// Owns model names: pol-gpt for the newest accepted model, pol-gpt@round-N and the model root for that one by name.

import type { ChatModelInfo } from '../ports.ts';
import { refuse } from './api-error.ts';

/** The published model id. */
export const MODEL_ALIAS = 'pol-gpt';

/** Name of this very model; weights that no round has trained say so. */
export function pinnedName(info: ChatModelInfo): string {
  return `${MODEL_ALIAS}@${info.round === null ? 'initial' : `round-${info.round}`}`;
}

/** The id when it names the served model, else a 404 refusal: older models are not kept loaded. */
export function checkModel(id: string | null, info: ChatModelInfo): string {
  if (id === null) throw refuse('model', 'model: missing; this server serves pol-gpt', 'missing_required_parameter');
  if (id === MODEL_ALIAS || id === pinnedName(info) || id === info.modelRoot) return id;
  const message = `model: ${JSON.stringify(id.slice(0, 80))} is not served here; use ${MODEL_ALIAS}, now ${pinnedName(info)}`;
  throw refuse('model', message, 'model_not_found', 404);
}

/** The model object of /v1/models, with what a client needs to size its prompts. */
export function modelJson(id: string, info: ChatModelInfo): Readonly<Record<string, unknown>> {
  return {
    id,
    object: 'model',
    created: info.created,
    owned_by: 'pol-node',
    root: info.modelRoot,
    round: info.round,
    trained: info.round !== null,
    context_window: info.contextTokens,
    parameters: info.parameters,
  };
}
