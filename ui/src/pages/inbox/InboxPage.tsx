import { Button, TextInput, UnstyledButton } from '@mantine/core';
import { IconCheck, IconExternalLink, IconSearch } from '@tabler/icons-react';
import { Link, useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useInbox, usePermissions } from '../../api/queries';
import type { Inbox } from '../../api/types';
import { Avatar } from '../../components/Avatar';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { isTyping } from '../../lib/keys';
import { usePhone } from '../../lib/phone';
import type { InboxSearch } from '../../lib/search';
import { routes } from '../../paths';
import { useDecision } from '../../review/decision';
import review from '../../review/Review.module.css';
import { ReviewBody } from '../../review/ReviewBody';
import { ReviewFoot, useAnswerChord } from '../../review/ReviewFoot';
import { ReviewHead, reviewTitle } from '../../review/ReviewHead';
import classes from './InboxPage.module.css';
import { type InboxGroup, type InboxRow, inboxGroups } from './rows';

export interface InboxPageProps {
  search: InboxSearch;
}

/** What waits for the person: a list, and on a wide screen the whole decision beside it. */
export function InboxPage({ search }: InboxPageProps) {
  const inbox = useInbox();
  const navigate = useNavigate();
  const isDone = search.state === 'done';
  const actions = (
    <div className={classes.switch}>
      <UnstyledButton
        className={classes.option}
        aria-pressed={!isDone}
        onClick={() => navigate({ to: routes.inbox, search: { q: search.q } })}
      >
        To do
      </UnstyledButton>
      <UnstyledButton
        className={classes.option}
        aria-pressed={isDone}
        onClick={() => navigate({ to: routes.inbox, search: { q: search.q, state: 'done' } })}
      >
        Done
      </UnstyledButton>
    </div>
  );
  return (
    <>
      <PageHeader title="Inbox" actions={actions} />
      {inbox.isError ? (
        <div className={classes.pad}>
          <ErrorState error={inbox.error} what="The inbox" onRetry={() => inbox.refetch()} />
        </div>
      ) : inbox.data ? (
        <Loaded inbox={inbox.data} search={search} />
      ) : (
        <section className={classes.pad} aria-busy="true" aria-label="Loading the inbox">
          <Skeleton height={80} />
          <div style={{ height: 12 }} />
          <Skeleton height={80} />
        </section>
      )}
    </>
  );
}

function Loaded({ inbox, search }: { inbox: Inbox; search: InboxSearch }) {
  const navigate = useNavigate();
  const isPhone = usePhone();
  const isDone = search.state === 'done';
  const groups = inboxGroups(inbox, search);
  const rows = groups.flatMap((group) => group.rows);
  const open = isPhone ? undefined : (rows.find((row) => row.key === search.open) ?? rows[0]);
  const choose = (row: InboxRow) => navigate({ to: routes.inbox, search: { ...search, open: row.key } });
  useKeys(rows, open, choose);

  if (rows.length === 0 && !search.q) return <Nothing isDone={isDone} />;
  return (
    <div className={classes.columns}>
      <section className={classes.list} aria-label={isDone ? 'Decided' : 'To do'}>
        <div className={classes.filter}>
          <TextInput
            aria-label="Filter"
            placeholder="Filter"
            leftSection={<IconSearch size={15} aria-hidden="true" />}
            value={search.q ?? ''}
            onChange={(event) =>
              navigate({
                to: routes.inbox,
                search: { ...search, q: event.currentTarget.value || undefined },
                replace: true,
              })
            }
          />
        </div>
        {groups.map((group) => (
          <Group key={group.title} group={group} open={open?.key} isPhone={isPhone} onChoose={choose} />
        ))}
        {rows.length === 0 && <p className={classes.empty}>Nothing matches “{search.q}”.</p>}
        {inbox.missing && inbox.missing.length > 0 && (
          <p className={classes.empty}>
            Not looked through, there are too many projects: {inbox.missing.slice(0, 5).join(', ')}
            {inbox.missing.length > 5 && ` and ${inbox.missing.length - 5} more`}
          </p>
        )}
        {!isPhone && rows.length > 0 && (
          <p className={classes.keys} aria-hidden="true">
            <kbd>j</kbd> <kbd>k</kbd> move <kbd>a</kbd> approve <kbd>x</kbd> reject
          </p>
        )}
      </section>
      {open && <Detail key={open.key} row={open} />}
    </div>
  );
}

interface GroupProps {
  group: InboxGroup;
  open: string | undefined;
  isPhone: boolean;
  onChoose: (row: InboxRow) => void;
}

function Group({ group, open, isPhone, onChoose }: GroupProps) {
  if (group.rows.length === 0) return null;
  return (
    <>
      <h2 className={classes.heading}>
        {group.title} <small>{group.rows.length}</small>
      </h2>
      <ul>
        {group.rows.map((row) => (
          <li key={row.key} className={row.key === open ? `${classes.row} ${classes.open}` : classes.row}>
            <Row row={row} isOpen={row.key === open} isPhone={isPhone} onChoose={onChoose} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Row({
  row,
  isOpen,
  isPhone,
  onChoose,
}: {
  row: InboxRow;
  isOpen: boolean;
  isPhone: boolean;
  onChoose: (row: InboxRow) => void;
}) {
  const content = (
    <>
      <StatusIcon status={row.status} size={17} label={row.status} />
      <span className={classes.text}>
        <span className={classes.line}>
          <span className={classes.what}>
            <strong>{row.project}</strong> {row.joint} <strong>{row.stage}</strong>
          </span>
          <span className={classes.age}>
            <When at={row.at} />
          </span>
        </span>
        <span className={classes.sentence}>{row.sentence}</span>
        {row.who && (
          <span className={classes.who}>
            <Avatar name={row.who} size={20} /> {row.who}
            {row.note && <span className={classes.note}>{row.note}</span>}
          </span>
        )}
      </span>
    </>
  );
  const shared = { className: classes.button, 'data-inbox': row.key } as const;
  if (!isPhone) {
    return (
      <UnstyledButton {...shared} aria-current={isOpen ? 'true' : undefined} onClick={() => onChoose(row)}>
        {content}
      </UnstyledButton>
    );
  }
  return row.promotion ? (
    <Link to={routes.review} params={{ project: row.project, promotion: row.promotion }} {...shared}>
      {content}
    </Link>
  ) : (
    <Link to={routes.stage} params={{ project: row.project, stage: row.stage }} {...shared}>
      {content}
    </Link>
  );
}

/** The right side: the decision itself, or for what needs none the way to the page where something can be done. */
function Detail({ row }: { row: InboxRow }) {
  if (row.kind === 'approval' && row.promotion) return <Decide project={row.project} promotion={row.promotion} />;
  return (
    <section className={classes.detail} aria-label={`${row.project} ${row.joint} ${row.stage}`}>
      <div className={classes.other}>
        <h2>
          <StatusIcon status={row.status} size={20} /> {row.project} {row.joint} {row.stage}
        </h2>
        <p>{row.sentence}</p>
        {row.lines.length > 0 && (
          <ul className={classes.lines}>
            {row.lines.map((line) => (
              <li key={line} className="mono">
                {line}
              </li>
            ))}
          </ul>
        )}
        <div className={classes.buttons}>
          <Button
            data-size="md"
            variant="filled"
            renderRoot={(props) => (
              <Link to={routes.stage} params={{ project: row.project, stage: row.stage }} {...props} />
            )}
          >
            Open {row.stage}
          </Button>
        </div>
      </div>
    </section>
  );
}

function Decide({ project, promotion: name }: { project: string; promotion: string }) {
  usePermissions(project);
  const decision = useDecision(project, name);
  useAnswerChord();
  const promotion = decision.promotion.data;
  if (!promotion) {
    return (
      <section className={`${classes.detail} ${classes.pad}`} aria-label="Decision">
        {decision.promotion.isError ? (
          <ErrorState
            error={decision.promotion.error}
            what={`The promotion ${name}`}
            onRetry={() => decision.promotion.refetch()}
          />
        ) : (
          <div aria-busy="true">
            <Skeleton height={320} />
          </div>
        )}
      </section>
    );
  }
  const aside = (
    <Button
      renderRoot={(props) => <Link to={routes.review} params={{ project, promotion: name }} {...props} />}
      rightSection={<IconExternalLink size={15} stroke={1.8} aria-hidden="true" />}
    >
      Full review
    </Button>
  );
  return (
    <section className={classes.detail} aria-label="Decision">
      <ReviewHead
        promotion={promotion}
        title={
          <h2 className={review.title}>{`${reviewTitle(promotion).replace(/ (to|back) /, ` ${project} $1 `)}`}</h2>
        }
        aside={aside}
      />
      <ReviewBody decision={decision} promotion={promotion} />
      <ReviewFoot decision={decision} />
    </section>
  );
}

function Nothing({ isDone }: { isDone: boolean }) {
  return (
    <div className={classes.nothing}>
      <IconCheck size={28} stroke={1.6} aria-hidden="true" />
      <h2>{isDone ? 'You have decided nothing lately' : 'Nothing waits for you'}</h2>
      <p>
        {isDone
          ? 'What you approve and reject is listed here.'
          : 'Promotions that need your approval, promotions of yours that failed, and drift on your Stages appear here by themselves.'}
      </p>
    </div>
  );
}

/** `j` and `k` move, `a` goes to the button that approves, `x` opens the reason of a rejection. */
function useKeys(rows: InboxRow[], open: InboxRow | undefined, choose: (row: InboxRow) => void): void {
  useEffect(() => {
    const press = (action: string) =>
      document.querySelector<HTMLButtonElement>(`button[data-action="${action}"]:not(:disabled)`);
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const at = rows.findIndex((row) => row.key === open?.key);
      const next = event.key === 'j' ? rows[at + 1] : event.key === 'k' ? rows[at - 1] : undefined;
      if (next) choose(next);
      else if (event.key === 'a') press('approve')?.focus();
      else if (event.key === 'x') press('reject')?.click();
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
}
