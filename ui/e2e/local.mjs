// A whole `waybill local` with the demo in a temporary folder, for tests on the real product.
//   WAYBILL_BIN=../bin                          the folder with waybill, waybilld, waybill-kube
//   WAYBILL_ARTIFACTS=../test/artifacts/ui      where pictures go
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = fileURLToPath(new URL('..', import.meta.url));
/** The folder of the programs. */
export const bin = resolve(here, process.env.WAYBILL_BIN ?? '../bin');

/** Where pictures go. */
export const pictures = resolve(here, process.env.WAYBILL_ARTIFACTS ?? '../test/artifacts/ui');

const run = promisify(execFile);

/**
 * Starts it. Returns what `waybill local up` said (server, user, password), the command line with a home of its
 * own, kubectl in the demo's project, and the end.
 */
export async function startLocal() {
  await mkdir(pictures, { recursive: true });
  const home = await mkdtemp(join(tmpdir(), 'waybill-journey-'));
  const data = join(home, 'data');
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home };
  const waybill = async (...args) => {
    const { stdout } = await run(join(bin, 'waybill'), args, { env, timeout: 300_000 });
    return stdout;
  };
  const port = String(await freePorts());
  const up = JSON.parse(
    await waybill('local', 'up', '--demo', '--detach', '--data', data, '--port', port, '-o', 'json'),
  );
  return {
    ...up,
    data,
    waybill,
    /** The same, while it runs. */
    start: (...args) => spawn(join(bin, 'waybill'), args, { env, timeout: 300_000 }),
    /** Pushes a tag to the demo's registry. */
    push: (...args) => waybill('local', 'push', ...args, '--data', data),
    kubectl: (...args) =>
      run(join(bin, 'kube', 'kubectl'), ['--kubeconfig', up.kubeconfig, '--namespace=guestbook', ...args]),
    stop: async () => {
      await waybill('local', 'down', '--data', data).catch((error) => console.error(error.message));
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** A port with room for its neighbours, below the range the system hands out by itself. */
export async function freePorts() {
  for (let port = 20_000 + (process.pid % 500) * 20; port < 32_000; port += 20) {
    const isFree = await Promise.all([0, 1, 2, 3, 4].map((i) => canListen(port + i)));
    if (isFree.every(Boolean)) return port;
  }
  throw new Error('no free ports');
}

function canListen(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
