import type { Promotion, Step } from '../../api/types';
import { instant } from '../../lib/time';

/** A line of the promotion page: the gates before it, one of its steps, the roll-out after its commit, its checks. */
export interface StepRow {
  /** `gates`, `rollout`, `checks`, or the step's own name; in the address. */
  key: string;
  title: string;
  state: Step['state'];
  /** One line below the title. */
  detail: string | undefined;
  start: Date | undefined;
  end: Date | undefined;
  step: Step | undefined;
}

/**
 * The lines of a Promotion in the order they happen. `deploys`: something is rolled out after the commit; `verifies`:
 * checks run after that.
 */
export function stepRows(promotion: Promotion, deploys: boolean, verifies = false): StepRow[] {
  const rows: StepRow[] = [gates(promotion)];
  for (const step of promotion.steps) {
    rows.push({
      key: step.name,
      title: step.name.startsWith(`${step.uses}-`) ? step.uses : step.name,
      state: step.state,
      detail: (step.attempts ?? 0) > 1 ? `${step.attempts} attempts` : undefined,
      start: instant(step.startedAt),
      end: instant(step.finishedAt),
      step,
    });
  }
  if (deploys) rows.push(rollout(promotion));
  if (promotion.verification || (verifies && promotion.kind === 'Promote')) rows.push(checks(promotion));
  return rows;
}

function gates(promotion: Promotion): StepRow {
  const closed = promotion.gates ?? [];
  const row = { key: 'gates', title: 'Gates', start: undefined, end: undefined, step: undefined };
  if (promotion.startedAt) {
    const passed = promotion.bypass ?? [];
    return { ...row, state: 'Succeeded', detail: passed.length > 0 ? `passed ${passed.join(', ')}` : undefined };
  }
  const detail = closed[0] && [closed[0].reason, closed.length > 1 ? `and ${closed.length - 1} more` : ''].join(' ');
  if (!promotion.finished) return { ...row, state: 'Waiting', detail };
  return { ...row, state: promotion.phase === 'Failed' ? 'Failed' : 'Aborted', detail };
}

/** From the commit to a Stage that is synced and healthy, as far as the Promotion's phase tells. */
function rollout(promotion: Promotion): StepRow {
  const row = {
    key: 'rollout',
    title: 'Roll out',
    detail: undefined,
    start: instant(promotion.pushedAt),
    end: promotion.pushedAt ? instant(promotion.finishedAt) : undefined,
    step: undefined,
  };
  if (!promotion.pushedAt) return { ...row, state: promotion.finished ? 'Skipped' : 'Pending' };
  // Checks begin when the Stage is healthy with it.
  const isThere = instant(promotion.verification?.startedAt);
  if (isThere) return { ...row, end: isThere, state: 'Succeeded' };
  switch (promotion.phase) {
    case 'Succeeded':
      return { ...row, state: 'Succeeded' };
    case 'Failed':
      return { ...row, state: 'Failed' };
    case 'RolledBack':
      return { ...row, state: 'Aborted', detail: 'taken back' };
    case 'Aborted':
    case 'Superseded':
      return { ...row, state: 'Aborted' };
    default:
      return { ...row, state: 'Running' };
  }
}

/** What proves the version, once it runs. */
function checks(promotion: Promotion): StepRow {
  const run = promotion.verification;
  const row = { key: 'checks', title: 'Checks', step: undefined };
  if (!run) {
    const state = promotion.finished ? 'Skipped' : 'Pending';
    return { ...row, state, detail: undefined, start: undefined, end: undefined };
  }
  const done = run.checks.filter(({ phase }) => phase === 'Succeeded').length;
  const bad = run.checks.find(({ phase }) => phase === 'Failed' || phase === 'Inconclusive');
  const again = run.run > 1 ? `run ${run.run}: ` : '';
  return {
    ...row,
    state: run.phase === 'Inconclusive' ? 'Failed' : run.phase,
    detail:
      again +
      (bad
        ? `${bad.name} ${bad.phase === 'Failed' ? 'failed' : 'is inconclusive'}`
        : `${done} of ${run.checks.length} succeeded`),
    start: instant(run.startedAt),
    end: instant(run.finishedAt),
  };
}

/** The line that is shown when the address names none: what failed, else what goes on, else the last. */
export function rowOfInterest(rows: StepRow[], wanted: string | undefined): StepRow | undefined {
  return (
    rows.find((row) => row.key === wanted) ??
    rows.find((row) => row.state === 'Failed') ??
    rows.find((row) => row.state === 'Running' || row.state === 'Waiting') ??
    rows.at(-1)
  );
}

/** Where a bar lies, in percent of the width; undefined for what has not begun. */
export interface Bar {
  left: number;
  width: number;
}

/** The time the steps share: from the start to the end, or to now while it goes on. */
export interface Span {
  start: Date;
  seconds: number;
}

/** The span of a Promotion; undefined before it starts. */
export function spanOf(promotion: Promotion, now: Date): Span | undefined {
  const start = instant(promotion.startedAt);
  if (!start) return undefined;
  const end = instant(promotion.finishedAt) ?? now;
  return { start, seconds: Math.max(1, (end.getTime() - start.getTime()) / 1000) };
}

/** Where the bar of a line lies in the span. */
export function barOf(row: StepRow, { start, seconds }: Span, now: Date): Bar | undefined {
  if (!row.start) return undefined;
  const share = (date: Date) => Math.min(100, Math.max(0, (date.getTime() - start.getTime()) / 10 / seconds));
  const left = share(row.start);
  return { left, width: share(row.end ?? now) - left };
}

/** How long a line took or has taken so far, in seconds; undefined for what has not begun. */
export function secondsOf(row: StepRow, now: Date): number | undefined {
  if (!row.start) return undefined;
  return Math.max(0, ((row.end ?? now).getTime() - row.start.getTime()) / 1000);
}

/** A Promotion in a few lines of Markdown, to be pasted where people talk. */
export function forChat(promotion: Promotion, version: string, failed: StepRow | undefined, address: string): string {
  const phase = promotion.phase === 'RolledBack' ? 'was rolled back' : promotion.phase.toLowerCase();
  return [
    `**${version} to ${promotion.project}/${promotion.stage}: ${phase}**${failed ? ` at ${failed.title}` : ''}`,
    ...(promotion.message ? [`> ${promotion.message}`] : []),
    address,
  ].join('\n');
}
