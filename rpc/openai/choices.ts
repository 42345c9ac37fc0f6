// Owns an answer of one or more choices, whole or streamed: turn in the line, counts, end. What a choice and a count look like
// on the wire is the route's: chat.ts, completions.ts.

import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import type { GenerateRequest, Prompt } from '../ports.ts';
import { type Exchange, type Handler, type OpenAiContext, identifier, postRoute } from './exchange.ts';
import { type FinishReason, type GenerationEvent, generation } from './generation.ts';
import type { Sampling } from './sampling.ts';
import type { TokenEvent } from './text-stream.ts';

/** One choice to generate: its place in the answer, prompt and budget. */
export type Job = Readonly<{ index: number; prompt: Prompt; maxTokens: number; topLogprobs: number }>;

/** One finished choice: all its text, tokens and why it ended. */
export type Finished = Readonly<{ text: string; tokens: readonly TokenEvent[]; reason: FinishReason }>;

/** A request, checked, with the wire forms of its route. */
export type Answer<Each extends Job = Job> = Readonly<{
  model: string;
  sampling: Sampling;
  jobs: readonly Each[];
  /** Prefix of the answer's id, and the object names of a whole answer and of a chunk. */
  names: Readonly<{ id: string; whole: string; chunk: string }>;
  wholeChoice: (job: Each, finished: Finished) => unknown;
  /** The choice of one chunk; null sends none. `shown` counts the choice's UTF-16 units sent before. */
  chunkChoice: (job: Each, event: GenerationEvent, shown: number) => unknown;
  usage: (promptTokens: number, completionTokens: number) => unknown;
}>;

type Head = Readonly<{ id: string; created: number; model: string }>;

/** A POST route whose requests become answers; its place in the line is taken once the request has been checked. */
export function choicesRoute<Each extends Job>(
  context: OpenAiContext,
  read: (exchange: Exchange) => Promise<Answer<Each>>,
): Handler {
  return postRoute(context, async (exchange) => {
    const answer = await read(exchange);
    const turn = context.queue.enter(exchange.signal);
    const head = {
      id: identifier(answer.names.id, context.ports.entropy),
      created: Math.floor(context.ports.clock.nowMs() / 1_000),
      model: answer.model,
    };
    await (answer.sampling.stream ? streamed : whole)(exchange, context, answer, turn, head);
  });
}

function generated({ model, signal }: Exchange, { limits }: OpenAiContext, sampling: Sampling, job: Job) {
  const request: GenerateRequest = {
    prompt: job.prompt,
    maxTokens: job.maxTokens,
    temperature: sampling.temperature,
    topP: sampling.topP,
    seed: (sampling.seed + job.index) >>> 0,
    frequencyPenalty: sampling.frequencyPenalty,
    presencePenalty: sampling.presencePenalty,
    logitBias: sampling.logitBias,
    topLogprobs: job.topLogprobs,
  };
  return generation({ model, request, stops: sampling.stop, signal, limitMs: limits.generationMs });
}

/** Counts over all choices; each prompt counts once, however many choices it gets. */
function counter() {
  const prompts = new Map<Prompt, number>();
  let completion = 0;
  return {
    add({ prompt }: Job, event: GenerationEvent): void {
      if (event.kind === 'start') prompts.set(prompt, event.promptTokens);
      else if (event.kind === 'end') completion += event.completionTokens;
    },
    usage<Each extends Job>(answer: Answer<Each>): unknown {
      let prompt = 0;
      for (const tokens of prompts.values()) prompt += tokens;
      return answer.usage(prompt, completion);
    },
  };
}

async function whole<Each extends Job>(
  exchange: Exchange,
  context: OpenAiContext,
  answer: Answer<Each>,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const release = await turn;
  try {
    let fingerprint: Hex | null = null;
    const counts = counter();
    const choices: unknown[] = [];
    for (const job of answer.jobs) {
      let text = '';
      let reason: FinishReason | null = null;
      const tokens: TokenEvent[] = [];
      for await (const event of generated(exchange, context, answer.sampling, job)) {
        counts.add(job, event);
        if (event.kind === 'start') fingerprint = event.modelRoot;
        else if (event.kind === 'end') reason = event.reason;
        else {
          text += event.text;
          tokens.push(...event.tokens);
        }
      }
      if (reason === null) return;
      choices.push(answer.wholeChoice(job, { text, tokens, reason }));
    }
    exchange.sendJson({
      ...head,
      object: answer.names.whole,
      system_fingerprint: present(fingerprint, 'model root'),
      choices,
      usage: counts.usage(answer),
    });
  } finally {
    release();
  }
}

async function streamed<Each extends Job>(
  exchange: Exchange,
  context: OpenAiContext,
  answer: Answer<Each>,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const stream = exchange.openStream();
  const { includeUsage } = answer.sampling;
  const release = await turn;
  try {
    let fingerprint = exchange.info.modelRoot;
    const counts = counter();
    const chunk = (choices: readonly unknown[], usage: unknown = null): string =>
      JSON.stringify({
        ...head,
        object: answer.names.chunk,
        system_fingerprint: fingerprint,
        choices,
        ...(includeUsage ? { usage } : {}),
      });
    for (const job of answer.jobs) {
      let shown = 0;
      for await (const event of generated(exchange, context, answer.sampling, job)) {
        counts.add(job, event);
        if (event.kind === 'start') fingerprint = event.modelRoot;
        const choice = answer.chunkChoice(job, event, shown);
        if (event.kind === 'piece') shown += event.text.length;
        if (choice !== null) await stream.send(chunk([choice]));
      }
      if (exchange.signal.aborted) return;
    }
    if (includeUsage) await stream.send(chunk([], counts.usage(answer)));
    await stream.send('[DONE]');
    stream.end();
  } finally {
    release();
  }
}
