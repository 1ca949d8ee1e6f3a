import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useAudit } from '../../api/queries';
import type { AuditEntry } from '../../api/types';
import { CopyBlock } from '../../components/CopyBlock';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { When } from '../../components/When';
import { personName } from '../../lib/freight';
import type { AuditSearch } from '../../lib/search';
import { routes } from '../../paths';
import classes from './AuditPage.module.css';
import { actionsOf, groups } from './groups';

export interface AuditPageProps {
  project: string;
  search: AuditSearch;
}

/** Who decided and defined what in a project, and what was done, newest first. */
export function AuditPage({ project, search }: AuditPageProps) {
  const query = useAudit(project, actionsOf(search.show));
  const entries = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <PageHeader title="Audit trail" project={project} underProject />
      <div className={`${classes.content} ${classes.column}`}>
        <nav className={classes.groups} aria-label="What to show">
          {[undefined, ...groups].map((group) => (
            <Link
              key={group?.id ?? 'all'}
              to={routes.audit}
              params={{ project }}
              search={{ show: group?.id }}
              className={classes.group}
              activeOptions={{ exact: true }}
            >
              {group?.title ?? 'Everything'}
            </Link>
          ))}
        </nav>
        {query.isError ? (
          <ErrorState error={query.error} what="The audit trail" onRetry={() => query.refetch()} />
        ) : query.data ? (
          <>
            {entries.length === 0 && <p className={classes.empty}>Nothing of this is recorded yet.</p>}
            <ol className={classes.list} aria-label="Entries">
              {entries.map((entry) => (
                <Entry key={`${entry.at} ${entry.action} ${entry.kind} ${entry.name} ${entry.reason}`} entry={entry} />
              ))}
            </ol>
            {query.hasNextPage && (
              <Button variant="default" loading={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
                Show older
              </Button>
            )}
            <section aria-labelledby="prove">
              <h2 id="prove" className={classes.prove}>
                Prove that nobody changed it
              </h2>
              <p className={classes.hint}>
                Each entry has the hash of the one before. From a shell, as an administrator:
              </p>
              <CopyBlock label="Command" text="waybill audit verify" />
            </section>
          </>
        ) : (
          <section className={classes.column} aria-busy="true" aria-label="Loading the audit trail">
            <Skeleton height={56} />
            <Skeleton height={56} />
            <Skeleton height={56} />
          </section>
        )}
      </div>
    </>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const stage = entry.stage === '*' ? 'every Stage' : entry.stage;
  const what = entry.promotion ?? [entry.kind, entry.name].filter(Boolean).join(' ');
  const who = personName(entry.actor) || (entry.via ? `by ${entry.via}` : '');
  return (
    <li className={classes.entry}>
      <span className={classes.when}>
        <When at={entry.at} suffix=" ago" />
      </span>
      <span className={classes.action}>{entry.action}</span>
      <span className={classes.what}>
        {[stage, what, entry.phase].filter(Boolean).join(' · ')}
        {entry.reason && <span className={classes.reason}>{entry.reason}</span>}
      </span>
      <span className={classes.who}>{who}</span>
    </li>
  );
}
