// A server for developing the pages without a cluster: the built dashboard, the fixtures as API, and an event
// stream one can write to. It sends the same content security policy as waybilld.
//   npm run fixtures            serves dist and the fixtures on http://127.0.0.1:5174
//   POST /dev/event             {"topic": "pipeline:checkout", "model": {...}} is sent to every open stream
//   POST /dev/break             ends every open stream
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const dist = join(here, 'dist');

/** The instant the fixtures were written for; their times are moved so that it is now. */
const fixtureNow = Date.parse('2026-11-20T12:04:00Z');

export const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

function fixture(name) {
  const shift = Date.now() - fixtureNow;
  const text = readFileSync(join(here, 'fixtures', `${name}.json`), 'utf8');
  return JSON.parse(
    text.replace(/"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"/g, (_, time) =>
      JSON.stringify(new Date(Date.parse(time) + shift).toISOString().replace(/\.\d+Z$/, 'Z')),
    ),
  );
}

/** Starts the server. Returns its address and what a test may do with it. */
export function start({ port = 0 } = {}) {
  const streams = new Set();
  const calls = [];
  let lastId = 100;

  const send = (topic, model) => {
    lastId++;
    for (const stream of streams) stream.write(`id: ${lastId}\nevent: ${topic}\ndata: ${JSON.stringify(model)}\n\n`);
  };
  const hangUp = () => {
    for (const stream of streams) stream.end();
  };

  const json = (response, status, body) => {
    const type = status >= 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
    response.end(body === undefined ? '' : JSON.stringify(body));
  };
  const problem = (response, status, code, detail, more = {}) =>
    json(response, status, {
      type: `urn:waybill:problem:${code}`,
      title: code,
      status,
      code,
      detail,
      requestId: 'req-0f3a',
      ...more,
    });

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    const path = url.pathname;
    response.setHeader('Content-Security-Policy', contentSecurityPolicy);
    let body = '';
    for await (const chunk of request) body += chunk;
    if (path.startsWith('/api/')) calls.push(`${request.method} ${request.url}`);

    if (path === '/dev/event') {
      const { topic, model } = JSON.parse(body);
      send(topic, model);
      return json(response, 200, {});
    }
    if (path === '/dev/break') {
      hangUp();
      return json(response, 200, {});
    }
    if (!path.startsWith('/api/')) return serveFile(path, response);

    if (path === '/api/v1/login' && request.method === 'GET') {
      return json(response, 200, { password: true, sso: 'Example Inc' });
    }
    if (path === '/api/v1/login') {
      const { username, password } = JSON.parse(body);
      if (password !== 'secret') return problem(response, 401, 'wrong-credentials', 'user name or password is wrong');
      response.setHeader('Set-Cookie', 'waybill_session=dev; HttpOnly; SameSite=Strict; Path=/');
      return json(response, 200, { me: { ...fixture('me'), name: username, user: `waybill:${username}` } });
    }
    if (!(request.headers.cookie ?? '').includes('waybill_session=dev')) {
      return problem(response, 401, 'not-signed-in', 'nobody is signed in');
    }
    if (request.method !== 'GET' && request.headers['x-waybill-csrf'] !== '1') {
      return problem(response, 403, 'forbidden', 'the header X-Waybill-CSRF is missing');
    }
    if (path === '/api/v1/logout') {
      response.setHeader('Set-Cookie', 'waybill_session=; Max-Age=0; Path=/');
      return json(response, 204);
    }
    if (path === '/api/v1/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      response.write(': hello\n\n');
      streams.add(response);
      const ping = setInterval(() => response.write(': ping\n\n'), 15_000);
      request.on('close', () => {});
      response.on('close', () => {
        clearInterval(ping);
        streams.delete(response);
      });
      return;
    }
    const answers = [
      [/^\/api\/v1\/me$/, 'me'],
      [/^\/api\/v1\/me\/permissions$/, url.searchParams.has('project') ? 'permissions' : 'my-permissions'],
      [/^\/api\/v1\/projects\/[^/]+\/audit$/, 'audit'],
      [/^\/api\/v1\/clusters$/, 'clusters'],
      [/^\/api\/v1\/projects$/, 'projects'],
      [/^\/api\/v1\/projects\/checkout\/pipeline$/, 'pipeline'],
      [/^\/api\/v1\/projects\/[^/]+\/timeline$/, 'timeline'],
      [/^\/api\/v1\/projects\/checkout\/webhooks$/, 'webhooks'],
      [/^\/api\/v1\/projects\/checkout\/stages\/[^/]+\/plan$/, 'plan'],
      [/^\/api\/v1\/projects\/checkout\/stages\/[^/]+\/why$/, 'why'],
      [/^\/api\/v1\/projects\/checkout\/stages\/[^/]+\/rollback$/, 'rollback'],
      [/^\/api\/v1\/projects\/checkout\/stages\/[^/]+$/, 'stage'],
      [/^\/api\/v1\/projects\/checkout\/applications\/[^/]+\/tree$/, 'tree'],
      [/^\/api\/v1\/projects\/checkout\/applications\/[^/]+\/events$/, 'object-events'],
      [/^\/api\/v1\/projects\/checkout\/applications\/[^/]+\/logs$/, 'logs'],
      [/^\/api\/v1\/inbox$/, 'inbox'],
      [/^\/api\/v1\/insights$/, url.searchParams.has('project') ? 'insights-project' : 'insights'],
      [/^\/api\/v1\/projects\/checkout\/promotions\/prod-eu-000012$/, 'review'],
      [/^\/api\/v1\/projects\/checkout\/promotions\/prod-eu-000012\/plan$/, 'review-plan'],
      [/^\/api\/v1\/projects\/checkout\/promotions\/staging-000018$/, 'promotion-failed'],
      [/^\/api\/v1\/projects\/checkout\/promotions\/staging-000017$/, 'promotion-checked'],
      [/^\/api\/v1\/projects\/checkout\/promotions\/[^/]+$/, 'promotion'],
    ];
    const [, freight] = /^\/api\/v1\/projects\/checkout\/freight\/([^/]+)$/.exec(path) ?? [];
    const known = freight && fixture('pipeline').freight.find(({ name, version }) => [name, version].includes(freight));
    if (request.method === 'GET' && known) return json(response, 200, known);
    if (request.method === 'GET') {
      const found = answers.find(([pattern]) => pattern.test(path));
      if (found) return json(response, 200, fixture(found[1]));
    } else if (/\/(promotions|rollback)$/.test(path)) {
      return json(response, 202, fixture('stage').promotions[0]);
    } else if (/\/(approve|reject|revoke)$/.test(path)) {
      return json(response, 200, fixture('review'));
    } else if (/\/(resume|refresh)$/.test(path)) {
      return json(response, 200, { items: [] });
    }
    return problem(response, 404, 'not-found', `there is nothing at ${path}, or you may not see it`);
  });

  function serveFile(path, response) {
    const file = join(dist, normalize(path));
    const found =
      file.startsWith(dist) && existsSync(file) && statSync(file).isFile() ? file : join(dist, 'index.html');
    response.writeHead(200, { 'Content-Type': types[extname(found)] ?? 'application/octet-stream' });
    createReadStream(found).pipe(response);
  }

  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        calls,
        send,
        hangUp,
        fixture,
        close: () => {
          hangUp();
          server.closeAllConnections();
          return new Promise((done) => server.close(done));
        },
      });
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start({ port: Number(process.env.PORT ?? 5174) });
  console.log(`${url}  (any user, password "secret")`);
}
