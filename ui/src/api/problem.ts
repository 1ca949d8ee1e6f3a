import type { Gate } from './types';

/**
 * An answer of the server that is not a success, or no answer at all (`status` 0).
 * Built from an RFC 9457 problem document; `requestId` finds the details in the server's log.
 */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;
  readonly blockedBy: Gate[];
  readonly errors: { pointer: string; detail: string }[];

  constructor(fields: {
    status: number;
    code: string;
    detail: string;
    hint?: string;
    requestId?: string;
    blockedBy?: Gate[];
    errors?: { pointer: string; detail: string }[];
  }) {
    super(fields.detail);
    this.name = 'Problem';
    this.status = fields.status;
    this.code = fields.code;
    this.hint = fields.hint;
    this.requestId = fields.requestId;
    this.blockedBy = fields.blockedBy ?? [];
    this.errors = fields.errors ?? [];
  }
}

/** Reads the problem document of a failed answer; an answer without one becomes a plain sentence with its status. */
export async function problemFrom(answer: Response): Promise<Problem> {
  const header = answer.headers.get('X-Request-Id') ?? undefined;
  let body: unknown;
  try {
    body = await answer.json();
  } catch {
    body = undefined;
  }
  const fields = isRecord(body) ? body : {};
  return new Problem({
    status: answer.status,
    code: text(fields.code) ?? `http-${answer.status}`,
    detail: text(fields.detail) ?? text(fields.title) ?? `the server answered ${answer.status}`,
    hint: text(fields.hint),
    requestId: text(fields.requestId) ?? header,
    blockedBy: Array.isArray(fields.blockedBy) ? (fields.blockedBy as Gate[]) : [],
    errors: Array.isArray(fields.errors) ? (fields.errors as { pointer: string; detail: string }[]) : [],
  });
}

/** The problem of a request that got no answer. */
export function unreachable(): Problem {
  return new Problem({
    status: 0,
    code: 'unreachable',
    detail: 'The server does not answer.',
    hint: 'The page keeps trying. Nothing you see was changed meanwhile by this page.',
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
