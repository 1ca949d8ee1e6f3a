import { Button, UnstyledButton } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTimeline } from '../../api/queries';
import type { Timeline } from '../../api/types';
import { Skeleton } from '../../components/Skeleton';
import { usePhone } from '../../lib/phone';
import { instant } from '../../lib/time';
import { routes } from '../../paths';
import { type DrawnLane, drawLanes, figures, labelOf, ticks } from './lanes';
import classes from './Swimlane.module.css';

export interface SwimlaneProps {
  project: string;
}

/** So many lanes are drawn before somebody asks for all. */
const shownLanes = 8;

/** What ran where in the last two weeks, and how delivery went. Folded where the page is low. */
export function Swimlane({ project }: SwimlaneProps) {
  const query = useTimeline(project);
  const isPhone = usePhone();
  const isTall = useMediaQuery('(min-height: 900px)', undefined, { getInitialValueInEffect: false }) ?? true;
  const [chosen, choose] = useState<boolean>();
  const isOpen = chosen ?? (isPhone || isTall);
  const timeline = query.data;
  const known = timeline ? figures(timeline.insights) : [];
  return (
    <section className={classes.ran} aria-label="What ran where">
      <div className={classes.head}>
        <UnstyledButton className={classes.fold} aria-expanded={isOpen} onClick={() => choose(!isOpen)}>
          {isOpen ? (
            <IconChevronDown size={14} stroke={1.8} aria-hidden="true" />
          ) : (
            <IconChevronRight size={14} stroke={1.8} aria-hidden="true" />
          )}
          <h2 className={classes.title}>What ran where</h2>
        </UnstyledButton>
        <span className={classes.quiet}>last 14 days</span>
        {isOpen && timeline && <Legend timeline={timeline} />}
        {timeline && known.length > 0 && (
          <dl className={classes.figures} title={`into ${timeline.insights.stages.join(', ')}`}>
            {known.map(([term, value]) => (
              <div key={term}>
                <dt>{term}</dt> <dd>{value}</dd>
              </div>
            ))}
          </dl>
        )}
        {timeline && (
          <Link to={routes.insights} search={{ project }} className={classes.more}>
            More insights
          </Link>
        )}
      </div>
      {isOpen && query.isPending && (
        <div aria-busy="true">
          <Skeleton height={120} />
        </div>
      )}
      {isOpen && query.isError && !timeline && (
        <p className={classes.quiet}>
          It cannot be shown: {query.error.message}.{' '}
          <Button size="xs" variant="default" onClick={() => query.refetch()}>
            Try again
          </Button>
        </p>
      )}
      {isOpen && timeline && <Lanes timeline={timeline} />}
    </section>
  );
}

function Legend({ timeline }: { timeline: Timeline }) {
  const spans = timeline.lanes.flatMap((lane) => lane.spans);
  return (
    <>
      {spans.some((span) => span.end === 'RolledBack') && (
        <span className={classes.sign}>
          <span className={`${classes.swatch} ${classes['rolled-back']}`} aria-hidden="true" /> rolled back
        </span>
      )}
      {spans.some((span) => span.phase === 'Failed' && span.end !== 'RolledBack') && (
        <span className={classes.sign}>
          <span className={`${classes.swatch} ${classes.failed}`} aria-hidden="true" /> failed
        </span>
      )}
    </>
  );
}

function Lanes({ timeline }: { timeline: Timeline }) {
  const [showsAll, showAll] = useState(false);
  const from = instant(timeline.from) ?? new Date(0);
  const until = instant(timeline.until) ?? new Date();
  const shown = showsAll ? timeline.lanes : timeline.lanes.slice(0, shownLanes);
  const older = timeline.lanes.reduce((sum, lane) => sum + lane.older, 0);
  if (timeline.lanes.every((lane) => lane.spans.length === 0)) {
    return <p className={classes.quiet}>Nothing ran yet. The first lane fills when a promotion is pushed.</p>;
  }
  return (
    <>
      <ul className={classes.lanes} aria-label="Stages, upstream first">
        {drawLanes(shown, from, until).map((lane) => (
          <Lane key={lane.name} lane={lane} />
        ))}
      </ul>
      <div className={classes.axis} aria-hidden="true">
        {ticks(from, until).map(({ left, label }) => (
          <span key={left} className={classes.tick} style={{ left: `${left}%` }}>
            {label}
          </span>
        ))}
        <span className={classes.now}>now</span>
      </div>
      {shown.length < timeline.lanes.length && (
        <Button size="xs" variant="default" onClick={() => showAll(true)}>
          Show all {timeline.lanes.length}
        </Button>
      )}
      {older > 0 && <p className={classes.quiet}>{older} older ones are left out.</p>}
      {timeline.warning && <p className={classes.quiet}>{timeline.warning}.</p>}
    </>
  );
}

function Lane({ lane }: { lane: DrawnLane }) {
  // A bar is at least 4 px wide, and all together are as wide as the lane, however many there are.
  const least = `min(4px, ${100 / (lane.bars.length + 1)}%)`;
  const columns = [
    lane.before > 0 ? `${lane.before}fr` : '',
    ...lane.bars.map((bar) => `minmax(${least}, ${bar.seconds}fr)`),
    lane.after > 0 ? `${lane.after}fr` : '',
  ];
  return (
    <li className={classes.lane}>
      <span className={classes.name} title={lane.name} aria-hidden="true">
        {lane.name}
      </span>
      <ol
        className={classes.bars}
        style={{ gridTemplateColumns: columns.join(' ') }}
        aria-label={`Versions in ${lane.name}, oldest first`}
      >
        {lane.bars.map((bar, i) => (
          <li
            key={`${bar.span.from ?? ''} ${bar.span.freight.name}`}
            className={[classes.bar, classes[`tint${bar.tint}`], classes[bar.look]].filter(Boolean).join(' ')}
            style={i === 0 && lane.before > 0 ? { gridColumnStart: 2 } : undefined}
            title={bar.words}
          >
            <span className="visuallyHidden">{bar.words}</span>
            <span className={classes.label} aria-hidden="true">
              {labelOf(bar)}
            </span>
          </li>
        ))}
        {lane.bars.length === 0 && <li className={classes.nothing}>nothing</li>}
      </ol>
    </li>
  );
}
