// The page at /: self-contained, under a strict policy, and alive in a real browser where there is one.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { ask, serve } from './fixture.ts';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

test('the page and all it names are served from here, with nothing inline and nothing foreign', async (t) => {
  const { url } = await serve(t);
  const page = await ask(url);
  t.is(page.status, 200);
  t.regex(page.headers.get('content-type') ?? '', /^text\/html/);
  const policy = page.headers.get('content-security-policy') ?? '';
  t.regex(policy, /default-src 'none'/);
  t.false(policy.includes('unsafe'));
  t.is(page.headers.get('x-content-type-options'), 'nosniff');
  t.notRegex(page.text, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//);
  const names = new Set([...page.text.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path]) => path as string));
  const seen = new Set<string>();
  for (const path of names) {
    const file = await ask(url + path);
    t.is(file.status, 200, path);
    seen.add(path);
    if (!path.endsWith('.js')) continue;
    for (const [, imported] of file.text.matchAll(/from '(\/[^']*)'/g)) names.add(imported as string);
  }
  t.true(seen.has('/chat.js') && seen.has('/wallet.js') && seen.has('/style.css'));
  for (const path of ['/../package.json', '/..%2fpackage.json', '/web/app.js', '/index.ts', '/.git/config']) {
    t.is((await ask(url + path)).status, 404, path);
  }
});

test('a browser shows height, loss, rounds, trainers and supply', async (t) => {
  const browser = BROWSERS.find((path) => existsSync(path));
  if (browser === undefined) {
    t.log('skipped: no Chromium on this machine');
    t.pass();
    return;
  }
  const { url } = await serve(t);
  const profile = mkdtempSync(join(tmpdir(), 'page-'));
  const flags = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--enable-logging=stderr',
    `--user-data-dir=${profile}`,
  ];
  const run = promisify(execFile)(browser, [...flags, '--virtual-time-budget=4000', '--dump-dom', url], {
    timeout: 60_000,
  });
  const { stdout, stderr } = await run.finally(() => rmSync(profile, { recursive: true, force: true }));
  for (const shown of [
    'node_0 · authority',
    'id="loss" class="big">4.250',
    '<polyline',
    'valid',
    'round',
    '>35<',
    'POL of 1,034',
  ]) {
    t.true(stdout.includes(shown), shown);
  }
  t.notRegex(stderr, /CONSOLE.*(?:Error|Refused|violates)/);
});
