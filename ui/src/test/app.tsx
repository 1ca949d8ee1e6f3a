import { createMemoryHistory } from '@tanstack/react-router';
import { render } from '@testing-library/react';
import { vi } from 'vitest';
import audit from '../../fixtures/audit.json';
import clusters from '../../fixtures/clusters.json';
import inbox from '../../fixtures/inbox.json';
import insights from '../../fixtures/insights.json';
import insightsProject from '../../fixtures/insights-project.json';
import logs from '../../fixtures/logs.json';
import me from '../../fixtures/me.json';
import myPermissions from '../../fixtures/my-permissions.json';
import objectEvents from '../../fixtures/object-events.json';
import permissions from '../../fixtures/permissions.json';
import pipeline from '../../fixtures/pipeline.json';
import plan from '../../fixtures/plan.json';
import projects from '../../fixtures/projects.json';
import promotion from '../../fixtures/promotion.json';
import promotionChecked from '../../fixtures/promotion-checked.json';
import promotionFailed from '../../fixtures/promotion-failed.json';
import review from '../../fixtures/review.json';
import reviewPlan from '../../fixtures/review-plan.json';
import rollback from '../../fixtures/rollback.json';
import stage from '../../fixtures/stage.json';
import timeline from '../../fixtures/timeline.json';
import tree from '../../fixtures/tree.json';
import webhooks from '../../fixtures/webhooks.json';
import why from '../../fixtures/why.json';
import type { Inbox, InsightsReport, Pipeline, Plan, Projects, Promotion, StageDetail, Timeline } from '../api/types';
import { App } from '../app/App';
import { wire } from '../app/wire';

/** The fixtures with the types of the API; `structuredClone` them before changing anything. */
export const fixtures = {
  audit,
  clusters,
  myPermissions,
  inbox: inbox as unknown as Inbox,
  insights: insights as unknown as InsightsReport,
  insightsProject: insightsProject as unknown as InsightsReport,
  logs,
  me,
  objectEvents,
  permissions,
  pipeline: pipeline as unknown as Pipeline,
  plan: plan as unknown as Plan,
  projects: projects as unknown as Projects,
  promotion: promotion as unknown as Promotion,
  promotionChecked: promotionChecked as unknown as Promotion,
  promotionFailed: promotionFailed as unknown as Promotion,
  review: review as unknown as Promotion,
  reviewPlan: reviewPlan as unknown as Plan,
  rollback,
  stage: stage as unknown as StageDetail,
  timeline: timeline as unknown as Timeline,
  tree,
  webhooks,
  why,
};

/** A problem document as the server writes it. */
export function problem(status: number, code: string, detail: string, more: object = {}) {
  return {
    status,
    body: { type: `urn:waybill:problem:${code}`, title: code, status, code, detail, requestId: 'req-7', ...more },
  };
}

interface Answer {
  status: number;
  body?: unknown;
}

/** A call the page made: method, path with query, decoded body, headers in lower case. */
export interface Recorded {
  call: string;
  body: unknown;
  headers: Record<string, string>;
}

/**
 * Stands in for the network: answers calls from the fixtures, or from what a test sets in `answers`, and holds
 * the event stream open so that a test can send into it.
 */
export class Network {
  readonly recorded: Recorded[] = [];
  /** By "METHOD /path?query"; a promise that never resolves keeps a page loading. */
  readonly answers = new Map<string, Answer | Promise<Answer>>();
  private readonly streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  private readonly encoder = new TextEncoder();

  constructor() {
    const base = '/api/v1/projects/checkout';
    const ok = (path: string, body: unknown) => this.answers.set(`GET ${path}`, { status: 200, body });
    ok('/api/v1/login', { password: true });
    ok('/api/v1/me', fixtures.me);
    ok('/api/v1/me/permissions?project=checkout', fixtures.permissions);
    ok('/api/v1/me/permissions', fixtures.myPermissions);
    ok('/api/v1/clusters', fixtures.clusters);
    ok('/api/v1/projects', fixtures.projects);
    ok('/api/v1/inbox', fixtures.inbox);
    ok('/api/v1/insights?range=30d', fixtures.insights);
    ok('/api/v1/insights?range=30d&project=checkout', fixtures.insightsProject);
    ok(`${base}/promotions/test-000041`, fixtures.promotion);
    ok(`${base}/promotions/staging-000018`, fixtures.promotionFailed);
    ok(`${base}/promotions/staging-000017`, fixtures.promotionChecked);
    ok(`${base}/promotions/prod-eu-000012`, fixtures.review);
    ok(`${base}/promotions/prod-eu-000012/plan`, fixtures.reviewPlan);
    ok(`${base}/pipeline`, fixtures.pipeline);
    ok(`${base}/timeline`, fixtures.timeline);
    ok(`${base}/audit`, fixtures.audit);
    ok(`${base}/webhooks`, fixtures.webhooks);
    ok(`${base}/stages/prod-us`, fixtures.stage);
    ok(`${base}/applications/prod-us/tree`, fixtures.tree);
    ok(`${base}/applications/prod-us/events`, fixtures.objectEvents);
    ok(`${base}/applications/prod-us/logs`, fixtures.logs);
    ok(`${base}/applications/prod-us/logs?kind=Pod&name=checkout-api-6c9f7d58b4-2xk9p`, fixtures.logs);
    const freight = fixtures.plan.freight.name;
    ok(`${base}/stages/prod-eu/plan?freight=${freight}`, fixtures.plan);
    ok(`${base}/stages/prod-us/why?freight=${freight}`, fixtures.why);
    ok(`${base}/stages/prod-eu/rollback`, fixtures.rollback);
  }

  readonly fetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const call = `${init.method ?? 'GET'} ${path}`;
    const headers = Object.fromEntries(
      [...new Headers(init.headers)].map(([name, value]) => [name.toLowerCase(), value]),
    );
    this.recorded.push({ call, headers, body: init.body ? JSON.parse(String(init.body)) : undefined });
    if (path.startsWith('/api/v1/events')) return this.stream(init.signal ?? undefined);
    const answer = await (this.answers.get(call) ?? problem(404, 'not-found', `there is nothing at ${call}`));
    const isProblem = answer.status >= 400;
    return new Response(answer.body === undefined ? null : JSON.stringify(answer.body), {
      status: answer.status,
      headers: { 'Content-Type': isProblem ? 'application/problem+json' : 'application/json' },
    });
  };

  /** Sends a whole model, as the server does. */
  send(topic: string, model: unknown, id: number): void {
    this.write(`id: ${id}\nevent: ${topic}\ndata: ${JSON.stringify(model)}\n\n`);
  }

  write(text: string): void {
    for (const stream of this.streams) stream.enqueue(this.encoder.encode(text));
  }

  /** Ends every event stream, as a restarting server does. */
  hangUp(): void {
    for (const stream of this.streams) stream.close();
    this.streams.clear();
  }

  /** The calls so far, without the event stream. */
  calls(): string[] {
    return this.recorded.map(({ call }) => call).filter((call) => !call.includes('/events'));
  }

  private stream(signal: AbortSignal | undefined): Response {
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        this.streams.add(controller);
      },
    });
    signal?.addEventListener('abort', () => {
      if (own && this.streams.delete(own)) own.error(new DOMException('aborted', 'AbortError'));
    });
    return new Response(body, { status: 200, headers: { 'Content-Type': 'text/event-stream' } });
  }
}

/** Renders the whole dashboard at an address over a network of fixtures. */
export function renderApp(address: string, change?: (network: Network) => void) {
  const network = new Network();
  change?.(network);
  vi.stubGlobal('fetch', network.fetch);
  const history = createMemoryHistory({ initialEntries: [address] });
  const wired = wire(history);
  const view = render(<App {...wired} env="test" />);
  return { ...view, ...wired, network, history };
}

/** A promise that is never fulfilled: the answer that does not come. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}
