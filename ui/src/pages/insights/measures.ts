import type { DeliveryPart, Durations, FailedDeploy, Insights } from '../../api/types';
import { span } from '../../lib/time';

/** How something measured differs from before; whether that is good is said, since up is not always good. */
export interface Trend {
  direction: 'up' | 'down' | 'same';
  /** "+1.4, better", "same" */
  words: string;
}

/** One of the measures of delivery. */
export interface Measure {
  id: 'deploys' | 'lead' | 'failed' | 'restored' | 'rework';
  title: string;
  /** How much; undefined when that is not known. */
  amount: (of: Insights) => number | undefined;
  say: (amount: number) => string;
  unit: (of: Insights) => string;
  /** What the amount is about. */
  note: (of: Insights) => string;
  /** What is said where there is no amount, never a 0, and why there is none. */
  unknown: (of: Insights) => string;
  why: (of: Insights) => string;
  /** How an amount differs from another. */
  distance: (apart: number) => string;
  moreIsBetter: boolean;
}

const tenth = (amount: number) => String(Math.round(amount * 10) / 10);
const points = (apart: number) => `${tenth(apart)} ${tenth(apart) === '1' ? 'point' : 'points'}`;
const notKnown = () => 'not known';

function median(of: Durations): number | undefined {
  return of.count > 0 ? of.medianSeconds : undefined;
}

/** In the order of their tiles. The words are those of docs/guides/history.md. */
export const measures: readonly Measure[] = [
  {
    id: 'deploys',
    title: 'Deploys',
    amount: (of) => (of.deploys > 0 ? of.perWeek : undefined),
    say: tenth,
    unit: () => 'a week',
    note: (of) => `${of.deploys} in this time, rollbacks not counted`,
    unknown: () => 'none known',
    why: () => 'no promotion that was pushed is recorded',
    distance: tenth,
    moreIsBetter: true,
  },
  {
    id: 'lead',
    title: 'Lead time',
    amount: (of) => median(of.leadTime),
    say: span,
    unit: (of) => (of.leadTimeFrom === 'commit' ? 'from commit' : 'from Freight'),
    note: (of) => `to Healthy; half took less, 9 of 10 at most ${span(of.leadTime.p90Seconds)}`,
    unknown: notKnown,
    why: () => 'no new Freight became Healthy',
    distance: span,
    moreIsBetter: false,
  },
  {
    id: 'failed',
    title: 'Failure rate',
    amount: (of) => (of.judged > 0 ? of.failurePercent : undefined),
    say: tenth,
    unit: () => '%',
    note: (of) => `${of.failed} of ${of.judged} that ended well or badly`,
    unknown: notKnown,
    why: () => 'no deploy ended well or badly',
    distance: points,
    moreIsBetter: false,
  },
  {
    id: 'restored',
    title: 'Restored in',
    amount: (of) => median(of.restored),
    say: span,
    unit: () => '',
    note: (of) =>
      `half took less, the longest ${span(of.restored.longestSeconds)}${of.unrestored > 0 ? `; ${of.unrestored} not yet` : ''}`,
    unknown: (of) => (of.unrestored > 0 ? 'not yet' : of.judged > 0 ? 'nothing failed' : 'not known'),
    why: (of) =>
      of.unrestored > 0
        ? `nothing that is Healthy followed ${of.unrestored} that failed`
        : of.judged > 0
          ? 'so nothing had to be restored'
          : 'no deploy ended well or badly',
    distance: span,
    moreIsBetter: false,
  },
  {
    id: 'rework',
    title: 'Rework',
    amount: (of) => (of.deploys > 0 ? of.reworkPercent : undefined),
    say: tenth,
    unit: () => '%',
    note: (of) => `${of.rework} of ${of.deploys} past a closed gate, or within a day of a failure`,
    unknown: notKnown,
    why: () => 'no promotion that was pushed is recorded',
    distance: points,
    moreIsBetter: false,
  },
];

/** A measure in a few words: "8.9 a week", "21h 37m from commit", "not known". */
export function inWords(measure: Measure, of: Insights): string {
  const amount = measure.amount(of);
  return amount === undefined ? measure.unknown(of) : `${measure.say(amount)} ${measure.unit(of)}`.trimEnd();
}

/** How a measure moved; undefined when one of the two is not known, or they do not measure the same. */
export function trendOf(measure: Measure, now: Insights, before: Insights): Trend | undefined {
  const [to, from] = [measure.amount(now), measure.amount(before)];
  if (to === undefined || from === undefined || measure.unit(now) !== measure.unit(before)) return undefined;
  if (measure.say(to) === measure.say(from)) return { direction: 'same', words: 'same' };
  const isMore = to > from;
  const verdict = isMore === measure.moreIsBetter ? 'better' : 'worse';
  return {
    direction: isMore ? 'up' : 'down',
    words: `${isMore ? '+' : '−'}${measure.distance(Math.abs(to - from))}, ${verdict}`,
  };
}

/** Where a stretch of the way goes, and what makes it shorter. */
export interface PartWords {
  title: string;
  about: string;
  goes: string;
  advice: string;
}

export const partWords: Record<DeliveryPart['name'], PartWords> = {
  asked: {
    title: 'Until it is asked for',
    about: 'the Stages before, soak, somebody who decides',
    goes: 'passes before the promotion is asked for',
    advice: 'A shorter soak, or promoting without a person, would shorten it.',
  },
  started: {
    title: 'Until it starts',
    about: 'approvals, freezes, windows',
    goes: 'passes between the request and the start',
    advice: 'Approvals that come sooner, and wider windows, would shorten it.',
  },
  pushed: {
    title: 'Steps',
    about: 'until all of them had run',
    goes: 'goes into the steps',
    advice: 'The page of each promotion shows how long each of them took.',
  },
  healthy: {
    title: 'Rollout and checks',
    about: 'until the Stage was Healthy',
    goes: 'goes into rollout and checks',
    advice: 'Probes, the number of Pods and the length of the checks decide about it.',
  },
};

/** The widest part, in a sentence; undefined without parts. */
export function advice(parts: DeliveryPart[]): string | undefined {
  const widest = widestOf(parts);
  if (!widest) return undefined;
  const { goes, advice } = partWords[widest.name];
  return `${widest.percent >= 50 ? 'Most' : 'The largest part'} of the time, ${percent(widest.percent)}, ${goes}. ${advice}`;
}

/** How dark a part is drawn: the widest is 1, those of a tenth and more are 2. */
export function toneOf(part: DeliveryPart, parts: DeliveryPart[]): 1 | 2 | 3 {
  if (part === widestOf(parts)) return 1;
  return part.percent >= 10 ? 2 : 3;
}

function widestOf(parts: DeliveryPart[]): DeliveryPart | undefined {
  return parts.reduce<DeliveryPart | undefined>((a, b) => (a && a.percent >= b.percent ? a : b), undefined);
}

/** A share that took time is never said to be none. */
export function percent(share: number): string {
  return share < 0.1 ? 'under 0.1 %' : `${tenth(share)} %`;
}

/** What brought a Stage back and how soon: "rollback, in 11m 00s". */
export function restoredWords(failure: FailedDeploy): string {
  const by = failure.restoredKind === 'Rollback' ? 'rollback' : 'promotion';
  return failure.restoredSeconds === undefined ? by : `${by}, in ${span(failure.restoredSeconds)}`;
}

/** Names Stages, of many the first. */
export function places(stages: string[]): string {
  if (stages.length > 3) return `${stages.slice(0, 2).join(', ')} and ${stages.length - 2} more`;
  return stages.join(', ');
}

/** The lines of a chart whose highest bar is `most`: whole numbers from 0 up, at most five. */
export function lines(most: number): number[] {
  const step = Math.max(1, Math.ceil(most / 4));
  const count = Math.max(1, Math.ceil(most / step));
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

/** A day of the answer, which counts in UTC: "9 Nov". */
export function dayName(at: string): string {
  return new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(new Date(at));
}
