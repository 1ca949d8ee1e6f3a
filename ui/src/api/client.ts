import { Problem, problemFrom, unreachable } from './problem';

/** Called when the server says that nobody is signed in (401), once per such answer. */
export type SignedOutListener = () => void;

let onSignedOut: SignedOutListener | undefined;

/** Sets who is told about a lost session. */
export function listenForSignOut(listener: SignedOutListener | undefined): void {
  onSignedOut = listener;
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  /** A 401 is an answer here (signing in), not a lost session. */
  quiet401?: boolean;
}

/**
 * One call of the API. Returns the decoded JSON body, undefined for an empty answer.
 * Throws Problem for every other outcome; an aborted call throws the browser's AbortError.
 */
export async function call<T>(path: string, options: Call = {}): Promise<T> {
  const method = options.method ?? 'GET';
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method !== 'GET') headers['X-Waybill-CSRF'] = '1';
  if (method === 'POST') headers['Idempotency-Key'] = randomId();
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';

  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: options.signal,
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw unreachable();
  }
  if (!answer.ok) {
    const problem = await problemFrom(answer);
    if (problem.status === 401 && !options.quiet401) onSignedOut?.();
    throw problem;
  }
  if (answer.status === 204 || answer.headers.get('Content-Length') === '0') return undefined as T;
  const kind = answer.headers.get('Content-Type') ?? '';
  if (!kind.includes('json')) {
    throw new Problem({
      status: answer.status,
      code: 'not-json',
      detail: `the server answered ${kind || 'no type'}, not JSON`,
    });
  }
  return (await answer.json()) as T;
}

/** 128 random bits as hex. crypto.randomUUID exists on secure origins only, and local mode may be plain http. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
