// An HTTP server of files that misbehaves on purpose and counts what it sends.
//
//   const server = await badServer({ 'voice/pack.json': bytes });
//   server.behave('model.safetensors', ['cut', 0.37]);   // the next request for it, once; `server.always(...)`: every one
//   server.sent('model.safetensors')                      // bytes of its bodies so far
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

const HTML = '<!doctype html>\n<html><title>Sign in</title></html>\n';

/** Behaviours, by name: each answers a request for `bytes`. The first of them is what a good server does. */
const BEHAVIOURS = {
  good(answer) {
    answer.file();
  },
  /** Always all of it. */
  'no-range'(answer) {
    answer.file({ range: false });
  },
  /** Says 206 and sends all of it, without a word on what. */
  'wrong-206'(answer) {
    answer.send(206, {}, answer.bytes);
  },
  /** Says that it sends other bytes than it was asked for. */
  'wrong-content-range'(answer) {
    const { bytes, from } = answer;
    const at = Math.max(0, from - 1000);
    answer.send(206, { 'content-range': `bytes ${at}-${bytes.length - 1}/${bytes.length}` }, bytes.subarray(at));
  },
  /**
   * Breaks the connection off after a share of the file, once `arrived` says so: what a client has not read when that
   * happens is lost to it.
   */
  cut(answer, share, arrived) {
    const { bytes, from } = answer;
    answer.file({ until: Math.max(from, Math.floor(bytes.length * share)), arrived });
  },
  /** Ends properly, but too early, and had not said how much would come. */
  truncated(answer, share) {
    const { bytes, from } = answer;
    answer.file({ until: Math.max(from, Math.floor(bytes.length * share)), chunked: true });
  },
  /** Fewer bytes than the file has, and it says so. */
  short(answer, share) {
    answer.send(200, {}, answer.bytes.subarray(0, Math.floor(answer.bytes.length * share)));
  },
  corrupt(answer, at) {
    const bytes = Buffer.from(answer.bytes);
    bytes[at < 0 ? bytes.length + at : at] ^= 1;
    answer.file({ bytes });
  },
  status(answer, status) {
    answer.send(status, { 'content-type': 'text/plain' }, Buffer.from(`status ${status}`));
  },
  html(answer) {
    answer.send(200, { 'content-type': 'text/html; charset=utf-8' }, Buffer.from(HTML));
  },
  /** A page that does not say that it is one. */
  'hidden-html'(answer) {
    answer.send(200, { 'content-type': 'application/octet-stream' }, Buffer.from(HTML));
  },
  /** A little at a time; `share` of the file, then nothing more until the client goes. */
  stall(answer, share) {
    answer.file({ until: Math.floor(answer.bytes.length * share), stall: true });
  },
  /** Takes the request, and that is all. */
  silent() {},
  slow(answer) {
    answer.file({ slow: true });
  },
  refuse(answer) {
    answer.response.socket.destroy();
  },
};

/** Headers that let pages of other origins read everything but what they need not. */
export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'Content-Range, ETag',
};

/** `fallback` answers for paths that no file has. */
export async function badServer(files, { headers = {}, etag = true, fallback } = {}) {
  const once = new Map();
  const always = new Map();
  const log = [];
  const matching = (map, path) => [...map.keys()].find((key) => path.endsWith(key));

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname).slice(1);
    const bytes = files[path];
    if (bytes === undefined && fallback?.(path, response)) return;
    const entry = { method: request.method, path, headers: request.headers, status: 0, sent: 0, closed: false };
    log.push(entry);
    response.on('close', () => {
      entry.closed = true;
    });
    const tag = bytes && etag ? { etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"` } : {};
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const condition = request.headers['if-range'];
    const valid = condition === undefined || condition === tag.etag;
    const from = asked !== undefined && valid && bytes && Number(asked) < bytes.length ? Number(asked) : 0;
    const closed = new Promise((resolve) => response.once('close', resolve));
    const write = async (body, { slow = false } = {}) => {
      const step = slow ? Math.ceil(body.length / 20) : 1 << 16;
      for (let at = 0; at < body.length && !response.destroyed; at += step) {
        const part = body.subarray(at, at + step);
        if (slow) await setTimeout(10);
        if (!response.write(part)) await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed]);
        entry.sent += part.length;
      }
    };
    const answer = {
      bytes,
      from,
      response,
      async send(status, extra, body) {
        entry.status = status;
        response.writeHead(status, { 'content-length': body.length, ...tag, ...headers, ...extra });
        await write(body);
        response.end();
      },
      async file({ bytes: body = bytes, range = true, until = body.length, chunked = false, slow = false, stall = false, arrived } = {}) {
        const begin = range ? from : 0;
        entry.status = begin > 0 ? 206 : 200;
        response.writeHead(entry.status, {
          'accept-ranges': 'bytes',
          ...(chunked ? {} : { 'content-length': body.length - begin }),
          ...(begin > 0 ? { 'content-range': `bytes ${begin}-${body.length - 1}/${body.length}` } : {}),
          ...tag,
          ...headers,
        });
        // Also where nothing follows.
        response.flushHeaders();
        await write(body.subarray(begin, until), { slow });
        if (stall) return;
        while (arrived !== undefined && !response.destroyed && !(await arrived())) await setTimeout(5);
        // What was written arrives; then there is nothing more.
        if (until < body.length && !chunked) response.socket.end();
        else response.end();
      },
    };
    if (request.method === 'OPTIONS') {
      response.writeHead(204, headers).end();
      return;
    }
    const next = matching(once, path);
    const queue = once.get(next);
    const key = matching(always, path);
    const [name, ...args] = queue?.shift() ?? always.get(key) ?? ['good'];
    if (queue?.length === 0) once.delete(next);
    if (bytes === undefined && !['status', 'html', 'hidden-html', 'refuse'].includes(name)) {
      BEHAVIOURS.status(answer, 404);
    } else BEHAVIOURS[name](answer, ...args);
  });
  const listen = (port) => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}`,
    log,
    files,
    /** The next requests for files whose path ends so, one behaviour each: ['cut', 0.37]. */
    behave(path, ...behaviours) {
      once.set(path, behaviours);
    },
    always(path, ...behaviour) {
      always.set(path, behaviour);
    },
    good() {
      once.clear();
      always.clear();
    },
    requests: (path = '') => log.filter((entry) => entry.path.endsWith(path)),
    sent: (path = '') => log.filter((entry) => entry.path.endsWith(path)).reduce((sum, { sent }) => sum + sent, 0),
    forget() {
      log.length = 0;
    },
    /** Nobody answers any more. */
    async stop() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
    /** And again, at the same address. */
    start: () => listen(port),
  };
}
