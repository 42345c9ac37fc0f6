// Owns the static files of web/: read once when the server is built, sent with a strict content security policy.

import { existsSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { present } from '../base/check.ts';

export type PageFile = Readonly<{ path: string; send(response: ServerResponse): void }>;

/** File of web/ by the path it is served under; nothing else of the folder is reachable. */
const files: readonly Readonly<{ path: string; name: string; type: string }>[] = [
  { path: '/', name: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/app.js', name: 'app.js', type: 'text/javascript; charset=utf-8' },
  { path: '/chat.js', name: 'chat.js', type: 'text/javascript; charset=utf-8' },
  { path: '/wallet.js', name: 'wallet.js', type: 'text/javascript; charset=utf-8' },
  { path: '/chart.js', name: 'chart.js', type: 'text/javascript; charset=utf-8' },
  { path: '/dom.js', name: 'dom.js', type: 'text/javascript; charset=utf-8' },
  { path: '/style.css', name: 'style.css', type: 'text/css; charset=utf-8' },
  { path: '/favicon.svg', name: 'favicon.svg', type: 'image/svg+xml' },
];

/** No inline code, no foreign origin, no frames. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** web/ beside this folder, whether it was copied into the build or lies at the root of the repository. */
function directory(): string {
  const places = ['../web/', '../../web/'].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return present(
    places.find((place) => existsSync(`${place}index.html`)),
    'web/index.html',
  );
}

export function readPage(): readonly PageFile[] {
  const from = directory();
  return files.map(({ path, name, type }) => {
    const bytes = readFileSync(`${from}${name}`);
    return {
      path,
      send(response) {
        response.setHeader('content-type', type);
        response.setHeader('content-length', bytes.length);
        response.setHeader('content-security-policy', POLICY);
        response.setHeader('referrer-policy', 'no-referrer');
        response.setHeader('cache-control', 'no-cache');
        response.end(bytes);
      },
    };
  });
}
