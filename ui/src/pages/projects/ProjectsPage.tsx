import { TextInput, UnstyledButton } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { useProjects } from '../../api/queries';
import type { Projects, StatusWord } from '../../api/types';
import { EmptyProjects } from '../../components/EmptyState';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { StatusIcon } from '../../components/StatusIcon';
import type { ProjectsSearch } from '../../lib/search';
import { routes } from '../../paths';
import { ProjectCard } from './ProjectCard';
import classes from './ProjectsPage.module.css';

export interface ProjectsPageProps {
  search: ProjectsSearch;
}

/** Every project one may see, those that need a look first. */
export function ProjectsPage({ search }: ProjectsPageProps) {
  const query = useProjects();
  const data = query.data;
  if (query.isError) {
    return (
      <>
        <PageHeader title="Projects" />
        <div className={classes.content}>
          <ErrorState error={query.error} what="The list of projects" onRetry={() => query.refetch()} />
        </div>
      </>
    );
  }
  return (
    <>
      <PageHeader title="Projects">
        {data && data.items.length > 0 && <Filters data={data} search={search} />}
      </PageHeader>
      <div className={classes.content}>{data ? <Board data={data} search={search} /> : <Loading />}</div>
    </>
  );
}

function Loading() {
  return (
    <section className={classes.grid} style={{ paddingTop: 48 }} aria-busy="true" aria-label="Loading projects">
      <Skeleton height={146} />
      <Skeleton height={146} />
      <Skeleton height={146} />
    </section>
  );
}

interface DataProps {
  data: Projects;
  search: ProjectsSearch;
}

function Filters({ data, search }: DataProps) {
  const navigate = useNavigate();
  const set = (change: ProjectsSearch) =>
    navigate({ to: routes.projects, search: (before) => ({ ...before, ...change }), replace: true });
  const chip = (word: StatusWord | undefined, count: number) => (
    <UnstyledButton
      key={word ?? 'all'}
      className={classes.chip}
      aria-pressed={search.status === word}
      onClick={() => set({ status: word })}
    >
      {word && <StatusIcon status={word} />}
      {word ?? 'All'} <span>{count}</span>
    </UnstyledButton>
  );
  return (
    <search className={classes.filters}>
      <TextInput
        className={classes.search}
        aria-label="Filter projects"
        placeholder="Filter projects"
        leftSection={<IconSearch size={15} stroke={1.7} aria-hidden="true" />}
        value={search.q ?? ''}
        onChange={(event) => set({ q: event.currentTarget.value || undefined })}
      />
      {chip(undefined, data.items.length)}
      {data.counts.filter(({ count }) => count > 0).map(({ word, count }) => chip(word, count))}
    </search>
  );
}

const calm = new Set<StatusWord>(['Healthy', 'Frozen']);

function Board({ data, search }: DataProps) {
  if (data.items.length === 0) return <EmptyProjects />;
  const wanted = search.q?.toLowerCase() ?? '';
  const items = data.items.filter(
    (item) => item.name.includes(wanted) && (search.status === undefined || item.status.word === search.status),
  );
  const groups = [
    { title: 'Needs a look', items: items.filter((item) => !calm.has(item.status.word)) },
    { title: 'Running well', items: items.filter((item) => calm.has(item.status.word)) },
  ];
  const stages = data.items.reduce((sum, item) => sum + item.stages.length, 0);
  return (
    <>
      {groups.map(
        (group) =>
          group.items.length > 0 && (
            <section key={group.title} aria-label={group.title}>
              <h2 className={classes.group}>
                {group.title} <small>{plural(group.items.length, 'project')}</small>
              </h2>
              <div className={classes.grid}>
                {group.items.map((item) => (
                  <ProjectCard key={item.name} project={item} />
                ))}
              </div>
            </section>
          ),
      )}
      {items.length === 0 && <p className={classes.foot}>No project matches this filter.</p>}
      <p className={classes.foot}>
        {plural(data.items.length, 'project')}, {plural(stages, 'stage')}
      </p>
    </>
  );
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
