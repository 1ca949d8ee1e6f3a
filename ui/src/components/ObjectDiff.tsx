import { Button, UnstyledButton } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import type { ObjectChange, ScalarChange } from '../api/types';
import { type DiffLine, parseDiff } from '../lib/diff';
import diff from './DiffView.module.css';
import { sentence } from './ErrorState';
import classes from './ObjectDiff.module.css';

export interface ObjectDiffsProps {
  objects: ObjectChange[];
}

const openAtFirst = 3;

/** What happens to each object, in the server's order: deletions first. Secrets are masked by the server. */
export function ObjectDiffs({ objects }: ObjectDiffsProps) {
  return (
    <div>
      {objects.map((object, i) => (
        <ObjectDiff key={keyOf(object)} object={object} isOpenAtFirst={i < openAtFirst} />
      ))}
    </div>
  );
}

function keyOf({ group, kind, namespace, name }: ObjectChange): string {
  return [group, kind, namespace, name].join('/');
}

interface ObjectDiffProps {
  object: ObjectChange;
  isOpenAtFirst: boolean;
}

function ObjectDiff({ object, isOpenAtFirst }: ObjectDiffProps) {
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  const label = `${object.kind} / ${object.name}`;
  const Chevron = isOpen ? IconChevronDown : IconChevronRight;
  return (
    <section className={diff.file} aria-label={label} data-object={object.name} data-change={object.change}>
      <UnstyledButton className={diff.head} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Chevron size={15} stroke={1.8} aria-hidden="true" style={{ flex: 'none' }} />
        <span className={diff.path} title={[object.group, label, object.namespace].filter(Boolean).join(', ')}>
          {label}
        </span>
        {object.change === 'deleted' && <span className={classes.deleted}>will be deleted</span>}
        {object.change === 'created' && <span className={classes.created}>new</span>}
        <span className={diff.counts}>
          <span className={diff.plus}>+{object.added}</span>
          <span className={diff.minus}>−{object.removed}</span>
        </span>
      </UnstyledButton>
      {isOpen && (
        <>
          {object.risks?.map((risk) => (
            <p className={classes.risk} key={`${risk.flag} ${risk.sentence}`}>
              {sentence(risk.sentence)}
            </p>
          ))}
          {object.diff && <Lines text={object.diff} label={label} />}
          {object.cut && (
            <p className={classes.note}>
              This is not the whole difference: it is too long to be shown. What is not shown counts above.
            </p>
          )}
          {object.live && object.live.length > 0 && (
            <div className={classes.live}>
              <strong>The cluster differs from Git here already</strong>
              <Live fields={object.live} />
            </div>
          )}
        </>
      )}
    </section>
  );
}

/** Objects that the plan leaves as they are in Git, and that live otherwise. */
export function DriftedObjects({ objects }: ObjectDiffsProps) {
  return (
    <div>
      {objects.map((object) => {
        const label = `${object.kind} / ${object.name}`;
        return (
          <section className={diff.file} key={keyOf(object)} aria-label={label} data-drifted={object.name}>
            <div className={classes.live}>
              <strong>{label}</strong>
              <Live fields={object.live ?? []} />
            </div>
          </section>
        );
      })}
    </div>
  );
}

/** What Git says, and what lives instead. */
function Live({ fields }: { fields: ScalarChange[] }) {
  return (
    <dl>
      {fields.map(({ field, before, after }) => (
        <div key={field}>
          <dt className="mono">{field}</dt>
          <dd className="mono">
            {before || 'absent'} → {after || 'absent'}
          </dd>
        </div>
      ))}
    </dl>
  );
}

const shownAtFirst = 200;

function Lines({ text, label }: { text: string; label: string }) {
  const lines = useMemo(() => parseDiff(text), [text]);
  const [isWhole, setWhole] = useState(lines.length <= shownAtFirst + 20);
  const shown = isWhole ? lines : lines.slice(0, shownAtFirst);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1) */}
      <section className={diff.lines} tabIndex={0} aria-label={`Changes in ${label}`}>
        <div className={diff.table}>
          {shown.map((line) => (
            <Line key={`${line.kind} ${line.before ?? ''} ${line.after ?? ''} ${line.text}`} line={line} />
          ))}
        </div>
      </section>
      {!isWhole && (
        <p className={classes.note}>
          <Button size="xs" onClick={() => setWhole(true)}>
            Show {lines.length - shownAtFirst} more lines
          </Button>
        </p>
      )}
    </>
  );
}

function Line({ line }: { line: DiffLine }) {
  if (line.kind === 'skipped') return <div className={classes.skipped}>⋯ {line.text}</div>;
  const look = line.kind === 'removed' ? diff.removed : line.kind === 'added' ? diff.added : '';
  const sign = line.kind === 'removed' ? '−' : line.kind === 'added' ? '+' : ' ';
  const said = line.kind === 'removed' ? ' removed: ' : line.kind === 'added' ? ' added: ' : '';
  const differs = line.kind === 'removed' ? line.words?.before : line.words?.after;
  return (
    <div className={`${classes.line} ${look}`}>
      <span className={classes.number} aria-hidden="true">
        {line.before ?? ''}
      </span>
      <span className={classes.number} aria-hidden="true">
        {line.after ?? ''}
      </span>
      <span>
        <span aria-hidden="true">{sign}</span>
        {said && <span className="visuallyHidden">{said}</span>}
      </span>
      <span>
        {line.words ? (
          <>
            {line.words.start}
            {differs && <mark>{differs}</mark>}
            {line.words.end}
          </>
        ) : (
          line.text
        )}
      </span>
    </div>
  );
}
