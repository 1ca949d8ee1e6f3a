import type { Durations, Insights, TimelineLane, TimelineSpan } from '../../api/types';
import { fullName, personName, versionOf } from '../../lib/freight';
import { absolute, instant, span as lengthOf } from '../../lib/time';

/** How a span is drawn; colour is only for what went wrong. */
export type Look = 'well' | 'rolled-back' | 'failed' | 'arriving';

/** A span as a bar of its lane. */
export interface Bar {
  span: TimelineSpan;
  look: Look;
  /** Seconds of the range it covers: its share of the lane. */
  seconds: number;
  /** One of the tints, 1 to 5; the same version has the same one in every lane. */
  tint: number;
  /** All of it in words. */
  words: string;
}

export interface DrawnLane {
  stage: string;
  /** The Stage, with the Warehouse where it has several lanes. */
  name: string;
  /** Seconds of the range before the first bar. */
  before: number;
  bars: Bar[];
  /** Seconds of the range after the last bar. */
  after: number;
  older: number;
}

export const tints = 5;

/** Lanes as they are drawn between two instants. */
export function drawLanes(lanes: TimelineLane[], from: Date, until: Date): DrawnLane[] {
  const tint = tintOf(lanes);
  const seconds = (later: Date, earlier: Date) => Math.max(0, (later.getTime() - earlier.getTime()) / 1000);
  const within = (at: Date | undefined, otherwise: Date) =>
    at === undefined ? otherwise : new Date(Math.min(Math.max(at.getTime(), from.getTime()), until.getTime()));
  return lanes.map((lane) => {
    const places = lane.spans.map((each) => ({
      from: within(instant(each.from), from),
      until: within(instant(each.until), until),
    }));
    return {
      stage: lane.stage,
      name: lanes.filter((each) => each.stage === lane.stage).length > 1 ? `${lane.stage}, ${lane.origin}` : lane.stage,
      before: seconds(places[0]?.from ?? until, from),
      bars: lane.spans.map((each, i) => ({
        span: each,
        look: lookOf(each),
        seconds: seconds(places[i]?.until ?? until, places[i]?.from ?? from),
        tint: tint(each.freight.name),
        words: inWords(each, until),
      })),
      after: seconds(until, places.at(-1)?.until ?? until),
      older: lane.older,
    };
  });
}

/** Versions that follow each other have different tints, as far as there are any. */
function tintOf(lanes: TimelineLane[]): (freight: string) => number {
  const first = new Map<string, number>();
  for (const { freight, from } of lanes.flatMap((lane) => lane.spans)) {
    const at = instant(from)?.getTime() ?? 0;
    first.set(freight.name, Math.min(at, first.get(freight.name) ?? at));
  }
  const names = [...first].sort(([a, x], [b, y]) => x - y || a.localeCompare(b)).map(([name]) => name);
  const order = new Map(names.map((name, i) => [name, (i % tints) + 1]));
  return (freight) => order.get(freight) ?? 1;
}

function lookOf(span: TimelineSpan): Look {
  if (span.end === 'RolledBack' || span.phase === 'RolledBack') return 'rolled-back';
  if (span.phase === 'Failed') return 'failed';
  return span.phase === 'Syncing' || span.phase === 'Verifying' ? 'arriving' : 'well';
}

/** "2.13.4 calm-lynx, 18 Nov 2026, 12:04:00 to now, 2d; by rollback prod-us-000012 of lena" */
function inWords(span: TimelineSpan, now: Date): string {
  const from = instant(span.from);
  const until = instant(span.until);
  let words = `${fullName(span.freight)}, ${from ? absolute(from) : 'from before that is known'} to ${until ? absolute(until) : 'now'}`;
  if (from) words += `, ${lengthOf(((until ?? now).getTime() - from.getTime()) / 1000)}`;
  if (span.promotion) {
    words += `; by ${span.kind === 'Rollback' ? 'rollback ' : ''}${span.promotion}`;
    if (span.requestedBy) words += ` of ${personName(span.requestedBy)}`;
  }
  if (span.bypass) words += `, past ${span.bypass.join(' and ')}`;
  if (span.end === 'RolledBack') words += `; taken back by ${span.endedBy}`;
  else if (span.phase === 'Failed') words += '; failed after it was pushed';
  else if (lookOf(span) === 'arriving') words += '; not Healthy yet';
  return words;
}

export interface Tick {
  /** Where on the axis, in percent. */
  left: number;
  label: string;
}

/** Days on the axis, in the reader's zone: the month where it begins or changes, none near the end. */
export function ticks(from: Date, until: Date, most = 8): Tick[] {
  const length = until.getTime() - from.getTime();
  const days = Math.max(1, Math.ceil(length / 86_400_000 / most));
  const out: Tick[] = [];
  let month = -1;
  for (const day = new Date(from); day < until; day.setDate(day.getDate() + days)) {
    if (day.getTime() === from.getTime()) day.setHours(24, 0, 0, 0); // the first midnight of the range
    const left = ((day.getTime() - from.getTime()) / length) * 100;
    if (left > 86) break; // its label would stand under the end
    out.push({
      left,
      label:
        day.getMonth() === month
          ? String(day.getDate())
          : new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' }).format(day),
    });
    month = day.getMonth();
  }
  return out;
}

/** What is known of how delivery went, as term and value; nothing of what is not. */
export function figures(insights: Insights): [string, string][] {
  const out: [string, string][] = [];
  const median = (of: Durations) => lengthOf(of.medianSeconds);
  if (insights.leadTime.count > 0) out.push(['Lead time', median(insights.leadTime)]);
  if (insights.deploys > 0) out.push(['Deploys', `${insights.perWeek} / week`]);
  if (insights.judged > 0) out.push(['Failure rate', `${insights.failurePercent} %`]);
  if (insights.restored.count > 0) out.push(['Restored in', median(insights.restored)]);
  return out;
}

/** The version, which a bar shows when it has room for all of it. */
export function labelOf(bar: Bar): string {
  return versionOf(bar.span.freight);
}
