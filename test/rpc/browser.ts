// Owns a headless Chromium for tests of the page, driven by the DevTools protocol over its WebSocket.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { WebSocket } from 'ws';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export type Page = Readonly<{
  /** Value of an expression in the page; promises are awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Waits until an expression is true, and throws after 15 s. */
  until(expression: string): Promise<void>;
  /** Errors the page wrote to its console, and refusals of its security policy. */
  errors: readonly string[];
}>;

type Message = {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: { result?: { value?: unknown }; sessionId?: string; targetId?: string };
};

/** A page at `url`, with `script` run before its own; null where no Chromium is installed. */
export async function openPage(t: ExecutionContext<unknown>, url: string, script: string): Promise<Page | null> {
  const path = BROWSERS.find((candidate) => existsSync(candidate));
  if (path === undefined) return null;
  const profile = mkdtempSync(join(tmpdir(), 'page-'));
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0'];
  const browser = spawn(path, [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise((resolve) => browser.once('exit', resolve));
  t.teardown(async () => {
    browser.kill('SIGKILL');
    await exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const socket = new WebSocket(await endpoint(browser));
  await new Promise((resolve) => socket.once('open', resolve));
  t.teardown(() => socket.terminate());
  const errors: string[] = [];
  const waiting = new Map<number, (message: Message) => void>();
  let next = 0;
  socket.on('message', (data) => {
    const message = JSON.parse(data.toString()) as Message;
    if (message.id !== undefined) waiting.get(message.id)?.(message);
    if (message.method === 'Runtime.exceptionThrown' || message.method === 'Log.entryAdded') {
      errors.push(JSON.stringify(message.params).slice(0, 500));
    }
  });
  const send = (method: string, params: object, sessionId?: string): Promise<Message> => {
    const id = ++next;
    socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    return new Promise((resolve) => waiting.set(id, resolve));
  };
  const target = (await send('Target.createTarget', { url: 'about:blank' })).result?.targetId;
  const session = (await send('Target.attachToTarget', { targetId: target, flatten: true })).result?.sessionId;
  for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`, {}, session);
  await send('Page.addScriptToEvaluateOnNewDocument', { source: script }, session);
  await send('Page.navigate', { url }, session);
  const evaluate = async (expression: string): Promise<unknown> => {
    const params = { expression, awaitPromise: true, returnByValue: true };
    return (await send('Runtime.evaluate', params, session)).result?.result?.value;
  };
  return {
    evaluate,
    errors,
    async until(expression) {
      for (let i = 0; i < 150; i++) {
        if ((await evaluate(expression)) === true) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(
        `never true: ${expression}; page: ${String(await evaluate('document.body.innerText')).slice(0, 2_000)}`,
      );
    },
  };
}

/** The WebSocket address Chromium prints when it is ready. */
function endpoint(browser: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    browser.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /DevTools listening on (ws:\S+)/.exec(text);
      if (found !== null) resolve(found[1] as string);
    });
    browser.once('exit', () => reject(new Error(`the browser ended: ${text.slice(0, 500)}`)));
  });
}
