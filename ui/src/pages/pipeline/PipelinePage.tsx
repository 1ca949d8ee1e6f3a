import { Button, UnstyledButton } from '@mantine/core';
import { IconChartBar, IconHistory, IconListTree, IconRoute2, IconSnowflake, IconTable } from '@tabler/icons-react';
import { Link, useNavigate } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useMemo } from 'react';
import { usePermissions, usePipeline } from '../../api/queries';
import type { Pipeline, Verdict } from '../../api/types';
import { EmptyProject } from '../../components/EmptyState';
import { ErrorState } from '../../components/ErrorState';
import { headerIcon, PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { StopBanner } from '../../components/StopBanner';
import { Dialogs } from '../../dialogs/Dialogs';
import { isTyping } from '../../lib/keys';
import { usePhone } from '../../lib/phone';
import { forget, remember } from '../../lib/recent';
import { isDialogOpen, type PipelineSearch, useDialog } from '../../lib/search';
import { routes } from '../../paths';
import { ActivityDock } from './ActivityDock';
import { FreightRail } from './FreightRail';
import { PipelineList } from './PipelineList';
import { PipelineMatrix } from './PipelineMatrix';
import classes from './PipelinePage.module.css';
import { Swimlane } from './Swimlane';

// xyflow is 58 kB; a phone never needs it
const PipelineGraph = lazy(() =>
  import('../../graph/PipelineGraph').then((module) => ({ default: module.PipelineGraph })),
);

export interface PipelinePageProps {
  project: string;
  search: PipelineSearch;
}

/** What runs where in one project, what is next, and what stops it. */
export function PipelinePage({ project, search }: PipelinePageProps) {
  const query = usePipeline(project);
  usePermissions(project);
  const pipeline = query.data;

  useEffect(() => {
    if (pipeline) remember(project);
  }, [pipeline, project]);
  useEffect(() => {
    if (query.isError) forget(project);
  }, [query.isError, project]);

  if (query.isError) {
    return (
      <>
        <PageHeader title={project} project={project} />
        <div className={classes.pad}>
          <ErrorState error={query.error} what={`The project ${project}`} onRetry={() => query.refetch()} />
        </div>
      </>
    );
  }
  if (!pipeline) {
    return (
      <>
        <PageHeader title={project} project={project} />
        <section className={classes.skeletons} aria-busy="true" aria-label="Loading the pipeline">
          <Skeleton height={92} />
          <Skeleton height={420} />
        </section>
      </>
    );
  }
  return <Loaded pipeline={pipeline} search={search} />;
}

interface LoadedProps {
  pipeline: Pipeline;
  search: PipelineSearch;
}

function Loaded({ pipeline, search }: LoadedProps) {
  const navigate = useNavigate();
  const dialog = useDialog();
  const isPhone = usePhone();
  const view = search.view ?? (isPhone ? 'list' : 'graph');
  const selected = pipeline.freight.some((each) => each.name === search.freight) ? search.freight : undefined;

  const select = (freight: string | undefined) =>
    navigate({
      to: routes.pipeline,
      params: { project: pipeline.project },
      search: (before) => ({ ...before, freight }),
    });
  const show = (next: 'graph' | 'list' | 'matrix') =>
    navigate({
      to: routes.pipeline,
      params: { project: pipeline.project },
      search: (before) => ({ ...before, view: next }),
    });

  useKeys(select, pipeline.freight[0]?.name, search);

  const verdicts = useMemo(() => {
    if (selected === undefined) return undefined;
    const ofFreight = pipeline.verdicts.filter((verdict) => verdict.freight === selected);
    return new Map<string, Verdict>(ofFreight.map((verdict) => [verdict.stage, verdict]));
  }, [pipeline.verdicts, selected]);

  const stops = pipeline.freezes?.filter((each) => each.stage === '*' && each.shownAs !== 'rejected') ?? [];
  const isEmpty = pipeline.stages.length === 0 && pipeline.warehouses.length === 0;
  const first = pipeline.stages.find((stage) => stage.next?.mayPromote) ?? pipeline.stages[0];
  const actions = !isEmpty && (
    <>
      <div className={`${classes.switch} ${classes.hidePhone}`}>
        <UnstyledButton className={classes.option} aria-pressed={view === 'graph'} onClick={() => show('graph')}>
          <IconRoute2 size={15} stroke={1.7} aria-hidden="true" /> Graph
        </UnstyledButton>
        <UnstyledButton className={classes.option} aria-pressed={view === 'matrix'} onClick={() => show('matrix')}>
          <IconTable size={15} stroke={1.7} aria-hidden="true" /> Matrix
        </UnstyledButton>
        <UnstyledButton className={classes.option} aria-pressed={view === 'list'} onClick={() => show('list')}>
          <IconListTree size={15} stroke={1.7} aria-hidden="true" /> List
        </UnstyledButton>
      </div>
      <Link
        to={routes.audit}
        params={{ project: pipeline.project }}
        className={`${headerIcon} ${classes.hidePhone}`}
        aria-label={`Audit trail of ${pipeline.project}`}
        title="Who did what"
      >
        <IconHistory size={16} stroke={1.8} aria-hidden="true" />
      </Link>
      <Link
        to={routes.insights}
        search={{ project: pipeline.project }}
        className={`${headerIcon} ${classes.hidePhone}`}
        aria-label={`Insights of ${pipeline.project}`}
        title="How delivery went"
      >
        <IconChartBar size={16} stroke={1.8} aria-hidden="true" />
      </Link>
      <UnstyledButton
        className={headerIcon}
        aria-label={`Freeze ${pipeline.project}`}
        title="Freeze every Stage…"
        onClick={() => dialog({ freeze: '*' })}
      >
        <IconSnowflake size={16} stroke={1.8} aria-hidden="true" />
      </UnstyledButton>
      {first && (
        <Button
          variant="filled"
          onClick={() => dialog({ promote: first.name, with: selected ?? first.next?.freight.name })}
        >
          {isPhone ? 'Promote…' : 'New promotion…'}
        </Button>
      )}
    </>
  );

  return (
    <>
      <PageHeader title={pipeline.project} project={pipeline.project} actions={actions} />
      <div className={classes.content}>
        {isEmpty ? (
          <div className={classes.pad}>
            <EmptyProject project={pipeline.project} />
          </div>
        ) : (
          <>
            {stops.length > 0 && (
              <div className={classes.stops}>
                {stops.map((freeze) => (
                  <StopBanner key={freeze.name} freeze={freeze} project={pipeline.project} />
                ))}
              </div>
            )}
            {view !== 'matrix' && (
              <FreightRail
                project={pipeline.project}
                freight={pipeline.freight}
                stages={pipeline.stages}
                selected={selected}
                onSelect={select}
              />
            )}
            {view === 'graph' ? (
              <Suspense fallback={<Skeleton height={420} />}>
                <PipelineGraph pipeline={pipeline} verdicts={verdicts} />
              </Suspense>
            ) : view === 'matrix' ? (
              <PipelineMatrix pipeline={pipeline} selected={selected} />
            ) : (
              <PipelineList pipeline={pipeline} verdicts={verdicts} />
            )}
            <div className={classes.docks}>
              <Swimlane project={pipeline.project} />
              <ActivityDock project={pipeline.project} activity={pipeline.activity} most={6} />
            </div>
          </>
        )}
      </div>
      <Dialogs pipeline={pipeline} search={search} />
    </>
  );
}

/** `f` selects the newest Freight, Esc clears the selection; neither while typing or while a dialog is open. */
function useKeys(
  select: (freight: string | undefined) => void,
  newest: string | undefined,
  search: PipelineSearch,
): void {
  const isBusy = isDialogOpen(search);
  useEffect(() => {
    if (isBusy) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === 'f' && newest !== undefined) select(newest);
      if (event.key === 'Escape' && search.freight !== undefined) select(undefined);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
}
