// Owns the set of OpenAI routes and what they share: the queue of generations and the means to end them all.

import type { IncomingMessage } from 'node:http';
import { sendJson } from '../body.ts';
import type { RpcLimits } from '../limits.ts';
import type { RpcPorts } from '../ports.ts';
import { chatRoute } from './chat.ts';
import { completionsRoute } from './completions.ts';
import { type Handler, type OpenAiContext, checkKey, checkMethod, guarded, modelOf } from './exchange.ts';
import { MODEL_ALIAS, checkModel, modelJson, pinnedName } from './model-id.ts';
import { generationQueue } from './queue.ts';
import { responsesRoute } from './responses.ts';

export type OpenAiApi = Readonly<{
  models: Handler;
  chat: Handler;
  completions: Handler;
  responses: Handler;
  load(): Readonly<{ running: number; waiting: number }>;
  close(): void;
}>;

export function openAiApi(options: Readonly<{ ports: RpcPorts; limits: RpcLimits; apiKey: string | null }>): OpenAiApi {
  const { ports, limits } = options;
  const active = new Set<AbortController>();
  const queue = generationQueue(limits.generationsRunning, limits.generationsWaiting, ports.clock);
  const context: OpenAiContext = { ...options, queue, active };
  return {
    models: modelsRoute(context),
    chat: chatRoute(context),
    completions: completionsRoute(context),
    responses: responsesRoute(context),
    load: queue.load,
    close() {
      for (const answer of active) answer.abort();
    },
  };
}

function modelsRoute(context: OpenAiContext): Handler {
  return guarded(context, async (request, response) => {
    checkMethod(request, response, ['GET', 'HEAD']);
    checkKey(request, context.apiKey);
    const info = modelOf(context.ports).info();
    const id = pathId(request);
    const answer =
      id === null
        ? { object: 'list', data: [MODEL_ALIAS, pinnedName(info)].map((name) => modelJson(name, info)) }
        : modelJson(checkModel(id, info), info);
    sendJson(request, response, 200, answer);
  });
}

/** The model named in /v1/models/{id}, or null for the list. */
function pathId(request: IncomingMessage): string | null {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const id = path.slice('/v1/models'.length).replace(/^\//, '');
  if (id === '') return null;
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
