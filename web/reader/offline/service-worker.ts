// The reader without a network: everything that it is made of, the voice included, is fetched once and kept, file by file
// checked against the hashes that the build wrote into this script.
//
// A version never breaks a running page: it goes into a cache of its own, and takes over when no page of the old one is open, or
// when the only one that is asks for it at its start (offline.ts). Only then the old files go.
export {};

declare const self: ServiceWorkerGlobalScope;

interface Kept {
  /** Relative to the scope. */
  readonly path: string;
  /** `sha256-...` */
  readonly integrity: string;
}

/** Written by the build. */
declare const FILES: readonly Kept[];
declare const VERSION: string;

const PREFIX = 'reader-';
const NAME = PREFIX + VERSION;
/** In each cache: the list of what is in it. */
const LIST = '.files.json';

const paths = new Set(FILES.map(({ path }) => path));

function urlOf(path: string): string {
  return new URL(path, self.registration.scope).href;
}

async function otherCaches(): Promise<string[]> {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
}

/** Files of other versions, by hash. */
async function known(): Promise<Map<string, () => Promise<Response | undefined>>> {
  const found = new Map<string, () => Promise<Response | undefined>>();
  for (const name of await otherCaches()) {
    const cache = await caches.open(name);
    const list = (await (await cache.match(urlOf(LIST)))?.json()) as readonly Kept[] | undefined;
    for (const { path, integrity } of list ?? []) found.set(integrity, () => cache.match(urlOf(path)));
  }
  return found;
}

async function install(): Promise<void> {
  const old = await known();
  const cache = await caches.open(NAME);
  for (const { path, integrity } of FILES) {
    const url = urlOf(path);
    // A file of another deployment than this script's fails here, and with it this version: the old one stays.
    const response = (await old.get(integrity)?.()) ?? (await fetch(url, { integrity, cache: 'no-cache' }));
    if (!response.ok) throw new Error(`${url}: HTTP status ${response.status}`);
    await cache.put(url, response);
  }
  await cache.put(urlOf(LIST), new Response(JSON.stringify(FILES)));
}

async function activate(): Promise<void> {
  const old = await otherCaches();
  for (const name of old) await caches.delete(name);
  // The page of the first visit is of this version, and lives on without a network, too.
  if (old.length === 0) await self.clients.claim();
}

async function answer(request: Request, path: string): Promise<Response> {
  const cache = await caches.open(NAME);
  // What the browser has thrown away can still be had while there is a network.
  return (await cache.match(urlOf(path))) ?? fetch(request);
}

/** Takes over at once, unless another window still runs on the old version. */
async function takeOver(): Promise<void> {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (windows.length <= 1) await self.skipWaiting();
}

self.addEventListener('install', (event) => {
  event.waitUntil(install());
});
self.addEventListener('activate', (event) => {
  event.waitUntil(activate());
});
self.addEventListener('message', (event) => {
  if (event.data === 'take-over') event.waitUntil(takeOver());
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const scope = new URL(self.registration.scope);
  if (request.method !== 'GET' || origin !== scope.origin || !pathname.startsWith(scope.pathname)) return;
  const rest = pathname.slice(scope.pathname.length);
  const path = rest === '' ? 'index.html' : decodeURIComponent(rest);
  if (paths.has(path)) event.respondWith(answer(request, path));
});
