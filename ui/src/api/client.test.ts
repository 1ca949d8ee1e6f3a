import { afterEach, describe, expect, it, vi } from 'vitest';
import { call, listenForSignOut } from './client';
import { Problem } from './problem';

function answer(status: number, body: string, type = 'application/json', headers: Record<string, string> = {}) {
  const seen: { path: string; init: RequestInit }[] = [];
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    seen.push({ path, init });
    return new Response(body, { status, headers: { 'Content-Type': type, ...headers } });
  });
  return seen;
}

async function failure(promise: Promise<unknown>): Promise<Problem> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('call', () => {
  afterEach(() => listenForSignOut(undefined));

  it('reads without the CSRF header', async () => {
    const seen = answer(200, '{"a":1}');
    expect(await call('/x')).toEqual({ a: 1 });
    const headers = new Headers(seen[0]?.init.headers);
    expect(headers.get('X-Waybill-CSRF')).toBeNull();
    expect(headers.get('Idempotency-Key')).toBeNull();
  });

  it('sends the CSRF header with everything that is not a read', async () => {
    const seen = answer(200, '{}');
    await call('/x', { method: 'DELETE' });
    expect(new Headers(seen[0]?.init.headers).get('X-Waybill-CSRF')).toBe('1');
  });

  it('carries every part of a problem document', async () => {
    const blockedBy = [{ gate: 'soak', group: 'Entry', open: false }];
    answer(
      409,
      JSON.stringify({ code: 'gate-closed', detail: 'closed', hint: 'wait', requestId: 'r1', blockedBy }),
      'application/problem+json',
    );
    expect(await failure(call('/x'))).toMatchObject({
      status: 409,
      code: 'gate-closed',
      message: 'closed',
      hint: 'wait',
      requestId: 'r1',
      blockedBy,
    });
  });

  it('finds the request id in the header of an answer that is no document', async () => {
    answer(502, '<html>', 'text/html', { 'X-Request-Id': 'r2' });
    expect(await failure(call('/x'))).toMatchObject({ status: 502, code: 'http-502', requestId: 'r2' });
  });

  it('does not take a page for an answer', async () => {
    answer(200, '<html>', 'text/html');
    expect(await failure(call('/x'))).toMatchObject({ code: 'not-json' });
  });

  it('says that the server does not answer', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
    expect(await failure(call('/x'))).toMatchObject({ status: 0, code: 'unreachable' });
  });

  it('tells about a lost session, but not when signing in', async () => {
    const lost = vi.fn();
    listenForSignOut(lost);
    answer(401, '{"code":"not-signed-in","detail":"x"}');
    await failure(call('/x', { quiet401: true }));
    expect(lost).not.toHaveBeenCalled();
    await failure(call('/x'));
    expect(lost).toHaveBeenCalledOnce();
  });

  it('returns nothing for an empty answer', async () => {
    vi.stubGlobal('fetch', async () => new Response(null, { status: 204 }));
    expect(await call('/x')).toBeUndefined();
  });
});
