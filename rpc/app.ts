// Owns everything that is not JSON-RPC: the express application with REST, OpenAI routes, health, metrics, blobs and the page.
// The only file that imports express.

import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { fault } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import { sendJson } from './body.ts';
import { faultOf, httpStatusOf } from './errors.ts';
import type { RpcLimits } from './limits.ts';
import { metricsText } from './metrics.ts';
import { openAiApi } from './openai/router.ts';
import { readPage } from './page.ts';
import type { RpcPorts } from './ports.ts';
import { type RestRoute, restRoutes } from './rest.ts';

export type WebAppOptions = Readonly<{
  chain: Chain;
  ports: RpcPorts;
  limits: RpcLimits;
  apiKey: string | null;
  /** Open WebSocket connections, for the metrics. */
  webSockets(): number;
}>;

export type WebApp = Readonly<{
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Aborts running generations and refuses new ones. */
  close(): void;
}>;

export function webApp(options: WebAppOptions): WebApp {
  const { chain, ports } = options;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');

  const openAi = openAiApi(options);
  app.all(['/v1/models', '/v1/models/{*id}'], openAi.models);
  app.all('/v1/chat/completions', openAi.chat);
  app.all('/v1/completions', openAi.completions);
  app.all('/v1/responses', openAi.responses);

  for (const route of restRoutes({ ...options, generations: openAi.load })) app.get(route.path, restHandler(route));
  app.get(['/health', '/healthz'], (request, response) => {
    const failure = chain.failure();
    const status = failure === null ? 'ok' : 'failed';
    sendJson(request, response, failure === null ? 200 : 503, { status, height: chain.head().header.number });
  });
  app.get('/readyz', (request, response) => {
    const ready = chain.failure() === null && ports.node().syncing === null;
    sendJson(request, response, ready ? 200 : 503, { ready, height: chain.head().header.number });
  });
  app.get('/metrics', (_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    response.end(metricsText({ ...options, generations: openAi.load }));
  });
  app.use('/walrus', blobHandler(ports));
  for (const file of readPage()) app.get(file.path, (_request, response) => file.send(response));
  app.use(notFound);
  app.use(failed(ports));
  return { handle: (request, response) => app(request, response), close: openAi.close };
}

function restHandler(route: RestRoute): RequestHandler {
  return async (request, response) => {
    const parameter = request.params.value;
    const answer = await route.answer({
      value: typeof parameter === 'string' ? parameter : '',
      query: (name) => {
        const value = request.query[name];
        return typeof value === 'string' ? value : null;
      },
    });
    response.setHeader('cache-control', 'no-store');
    sendJson(request, response, 200, answer);
  };
}

function blobHandler(ports: RpcPorts): RequestHandler {
  return async (request, response, next) => {
    // Express cuts the mount point off; the blob store's routes are absolute.
    request.url = request.originalUrl;
    if (ports.blobs === null || !(await ports.blobs(request, response))) next();
  };
}

const notFound: RequestHandler = (request, response) => {
  const message = `there is no ${request.method} ${request.path.slice(0, 120)} here`;
  sendJson(request, response, 404, { error: { code: 'notFound', message } });
};

function failed(ports: RpcPorts): ErrorRequestHandler {
  // Express tells error handlers by their four parameters.
  return (caught: unknown, request, response, _next) => {
    const status = typeof caught === 'object' && caught !== null && 'status' in caught ? Number(caught.status) : 500;
    const refusal = status === 400 ? fault('invalidParams', 'the URL is malformed') : faultOf(caught);
    if (refusal.code === 'internal') ports.log('http.internalError', { path: request.path, error: String(caught) });
    if (response.headersSent) return void response.destroy();
    sendJson(request, response, httpStatusOf(refusal), { error: { code: refusal.code, message: refusal.message } });
  };
}
