import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { logsOptions, objectEventsOptions, treeOptions, usePipeline } from '../../api/queries';
import type { Application, Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { LogBox } from '../../components/Checks';
import { ErrorState } from '../../components/ErrorState';
import { HealthIcon } from '../../components/HealthIcon';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import type { ResourcesSearch } from '../../lib/search';
import { routes } from '../../paths';
import classes from './ResourcesPage.module.css';
import { type Branch, eventsOf, find, grow, hasLogs } from './tree';

export interface ResourcesPageProps {
  project: string;
  stage: string;
  search: ResourcesSearch;
}

/** What a Stage has in its clusters: the objects, what they own, what happened to them and what they write. */
export function ResourcesPage({ project, stage: name, search }: ResourcesPageProps) {
  const query = usePipeline(project);
  const stage = query.data?.stages.find((each) => each.name === name);
  return (
    <>
      <PageHeader title={`${name} resources`} project={project} underProject>
        <Link to={routes.stage} params={{ project, stage: name }} className={classes.back}>
          Overview of {name}
        </Link>
      </PageHeader>
      {stage ? (
        <Loaded project={project} stage={stage} search={search} />
      ) : query.isError || query.data ? (
        <div className={classes.content}>
          <ErrorState
            error={query.error ?? new Error(`There is no Stage ${name} in ${project}`)}
            what={`The Stage ${name}`}
            onRetry={() => query.refetch()}
          />
        </div>
      ) : (
        <Loading />
      )}
    </>
  );
}

function Loading() {
  return (
    <section className={classes.content} aria-busy="true" aria-label="Loading the resources">
      <Skeleton height={320} />
    </section>
  );
}

function Loaded({ project, stage, search }: { project: string; stage: Stage; search: ResourcesSearch }) {
  const app = stage.destinations.find((each) => each.name === search.app) ?? stage.destinations[0];
  if (!app) {
    return (
      <p className={`${classes.content} ${classes.quiet}`}>{stage.name} deploys nothing: it has no destination.</p>
    );
  }
  return (
    <div className={classes.content}>
      {stage.destinations.length > 1 && (
        <nav className={classes.apps} aria-label="Destinations">
          {stage.destinations.map((each) => (
            <Link
              key={each.name}
              to="."
              search={{ app: each.name }}
              className={classes.app}
              aria-current={each.name === app.name ? 'page' : undefined}
            >
              {each.name} <small>{each.cluster}</small>
            </Link>
          ))}
        </nav>
      )}
      <Resources key={app.name} project={project} app={app} search={search} />
    </div>
  );
}

function Resources({ project, app, search }: { project: string; app: Application; search: ResourcesSearch }) {
  const tree = useQuery(treeOptions(project, app.name));
  const navigate = useNavigate();
  if (tree.isError) {
    return <ErrorState error={tree.error} what={`What ${app.name} has`} onRetry={() => tree.refetch()} />;
  }
  if (!tree.data) return <Loading />;
  const branches = grow(tree.data.items, app.drifts ?? []);
  const selected = find(branches, search.object);
  const select = (key: string | undefined) =>
    navigate({ to: '.', search: (before: object) => ({ ...before, object: key }) });
  return (
    <div className={classes.columns}>
      <Card
        title="Objects"
        aside={`${tree.data.items.length}${tree.data.cut ? ' and more' : ''} · ${app.cluster} · ${app.namespace}`}
      >
        {branches.length === 0 ? (
          <p className={classes.quiet}>Nothing is there yet: the first sync makes it.</p>
        ) : (
          <Branches branches={branches} selected={selected?.key} onSelect={select} label={`Objects of ${app.name}`} />
        )}
      </Card>
      <Detail project={project} app={app} selected={selected} search={search} onClear={() => select(undefined)} />
    </div>
  );
}

interface BranchesProps {
  branches: Branch[];
  selected: string | undefined;
  onSelect: (key: string) => void;
  label?: string;
}

/** Nested lists of buttons: every screen reader and every keyboard knows them. */
function Branches({ branches, selected, onSelect, label }: BranchesProps) {
  return (
    <ul className={classes.tree} aria-label={label}>
      {branches.map(({ key, node, drifted, children }) => (
        <li key={key}>
          <button
            type="button"
            className={classes.node}
            aria-pressed={key === selected}
            onClick={() => onSelect(key)}
            title={node.message}
          >
            {node.health ? (
              <HealthIcon health={healthOf(node.health)} />
            ) : (
              <span className={classes.dot} aria-hidden="true" />
            )}
            <span className={classes.kind}>{node.kind}</span> <span className={classes.name}>{node.name}</span>
            {drifted.length > 0 && <StatusIcon status="Drifted" size={16} />}
            {drifted.map((field) => (
              <small key={field} className={`mono ${classes.field}`}>
                {field}
              </small>
            ))}
          </button>
          {children.length > 0 && <Branches branches={children} selected={selected} onSelect={onSelect} />}
        </li>
      ))}
    </ul>
  );
}

/** The API says a health in a word; one this page does not know is not made up. */
function healthOf(word: string): Application['health'] {
  const known: Application['health'][] = ['Healthy', 'Progressing', 'Degraded', 'Suspended', 'Missing'];
  return known.find((each) => each === word) ?? 'Unknown';
}

interface DetailProps {
  project: string;
  app: Application;
  selected: Branch | undefined;
  search: ResourcesSearch;
  onClear: () => void;
}

/** Events, or logs when they are asked for, of the object in view or of all. */
function Detail({ project, app, selected, search, onClear }: DetailProps) {
  const node = selected?.node;
  const mayLog = !selected || hasLogs(selected);
  const tab = search.tab === 'logs' && mayLog ? 'logs' : 'events';
  const tabs = [
    { tab: undefined, title: 'Events', isCurrent: tab === 'events' },
    ...(mayLog ? [{ tab: 'logs' as const, title: 'Logs', isCurrent: tab === 'logs' }] : []),
  ];
  return (
    <Card
      title={node ? `${node.kind}/${node.name}` : `All of ${app.name}`}
      aside={
        node && (
          <Button size="xs" variant="subtle" onClick={onClear}>
            Show all
          </Button>
        )
      }
    >
      {node && (
        <p className={classes.facts}>
          {node.health && (
            <>
              <HealthIcon health={healthOf(node.health)} /> <strong>{node.health}</strong>{' '}
            </>
          )}
          {node.message ?? node.reason}
          {node.createdAt && (
            <span className={classes.quiet}>
              {' '}
              made <When at={node.createdAt} suffix=" ago" />
            </span>
          )}
        </p>
      )}
      <nav className={classes.tabs} aria-label="What to show">
        {tabs.map((each) => (
          <Link
            key={each.title}
            to="."
            search={(before: object) => ({ ...before, tab: each.tab })}
            activeOptions={{ includeSearch: true, explicitUndefined: true }}
            className={classes.tab}
            aria-current={each.isCurrent ? 'page' : undefined}
          >
            {each.title}
          </Link>
        ))}
      </nav>
      {tab === 'logs' ? (
        <Logs project={project} app={app.name} selected={selected} />
      ) : (
        <Events project={project} app={app.name} selected={selected} />
      )}
    </Card>
  );
}

interface OfProps {
  project: string;
  app: string;
  selected: Branch | undefined;
}

function Events({ project, app, selected }: OfProps) {
  const query = useQuery(objectEventsOptions(project, app));
  if (query.isError)
    return <ErrorState error={query.error} what="The list of events" onRetry={() => query.refetch()} />;
  if (!query.data) return <Skeleton height={120} />;
  const events = eventsOf(query.data.items, selected);
  if (events.length === 0) {
    return <p className={classes.quiet}>No event. Kubernetes forgets them after an hour.</p>;
  }
  return (
    <ul className={classes.events} aria-label="Events">
      {events.map((event) => (
        <li
          key={`${event.kind}/${event.namespace ?? ''}/${event.name} ${event.reason} ${event.firstAt} ${event.message}`}
        >
          {event.warning ? (
            <StatusIcon status="Failed" size={16} label="Warning" />
          ) : (
            <span className={classes.dot} aria-hidden="true" />
          )}
          <div className={classes.grow}>
            <strong>{event.reason}</strong> {event.message}
            <small>
              {event.kind}/{event.name}
              {event.by && ` · ${event.by}`}
              {event.count > 1 && ` · ${event.count} times`}
            </small>
          </div>
          <span className={classes.quiet}>
            <When at={event.lastAt} suffix=" ago" />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Logs({ project, app, selected }: OfProps) {
  const query = useQuery(logsOptions(project, app, selected?.node));
  if (query.isError) return <ErrorState error={query.error} what="The log" onRetry={() => query.refetch()} />;
  if (!query.data) return <Skeleton height={120} />;
  if (query.data.items.length === 0) return <p className={classes.quiet}>No container is there to write anything.</p>;
  return (
    <div className={classes.logs}>
      <Button size="xs" className={classes.again} loading={query.isFetching} onClick={() => query.refetch()}>
        Read again
      </Button>
      {query.data.items.map((log) => (
        <section key={`${log.pod} ${log.container}`} aria-label={`${log.pod} ${log.container}`}>
          <h3 className={classes.of}>
            {log.pod} <span className={classes.quiet}>{log.container}</span>
          </h3>
          {log.missing ? (
            <p className={classes.quiet}>{log.missing}</p>
          ) : (
            <LogBox of={`${log.pod} ${log.container}`} text={log.text} />
          )}
        </section>
      ))}
      {query.data.cut && <p className={classes.quiet}>There are more containers: choose one object.</p>}
    </div>
  );
}
