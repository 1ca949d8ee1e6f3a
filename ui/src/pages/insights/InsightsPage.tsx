import { IconAlertTriangle } from '@tabler/icons-react';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useInsights, useProjects } from '../../api/queries';
import type { InsightsReport } from '../../api/types';
import { CopyBlock } from '../../components/CopyBlock';
import { EmptyProject, EmptyProjects } from '../../components/EmptyState';
import { ErrorState, sentence } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import states from '../../components/states.module.css';
import type { InsightsSearch } from '../../lib/search';
import { routes } from '../../paths';
import { DaysCard } from './DaysCard';
import { FailuresCard } from './FailuresCard';
import classes from './InsightsPage.module.css';
import { MeasureTiles } from './MeasureTiles';
import { places } from './measures';
import { PartsCard } from './PartsCard';
import { ProjectsCard } from './ProjectsCard';

const ranges = ['7d', '30d', '90d'] as const;
const usual = '30d';

export interface InsightsPageProps {
  search: InsightsSearch;
}

/** The page with what its address says; it is loaded when somebody opens it. */
export function InsightsRoute() {
  return <InsightsPage search={useSearch({ from: '/inside/insights' })} />;
}

/** How delivery went: how often, how long it took, how much failed and what restored it. */
export function InsightsPage({ search }: InsightsPageProps) {
  const { project, stage, range = usual } = search;
  const query = useInsights(range, project, stage);
  const what = project ? `The insights of ${[project, stage].filter(Boolean).join('/')}` : 'The insights';
  return (
    <>
      <PageHeader title="Insights" project={project} underProject>
        <Filters search={search} />
      </PageHeader>
      {query.data ? (
        <div className={`${classes.content} ${classes.column}`}>
          <Report report={query.data} search={search} />
        </div>
      ) : query.isError ? (
        <div className={classes.content}>
          <ErrorState error={query.error} what={what} onRetry={() => query.refetch()} />
        </div>
      ) : (
        <section className={`${classes.content} ${classes.column}`} aria-busy="true" aria-label="Loading the insights">
          <Skeleton height={132} />
          <Skeleton height={220} />
          <Skeleton height={260} />
        </section>
      )}
    </>
  );
}

/** What is measured, all of it in the address. */
function Filters({ search }: InsightsPageProps) {
  const navigate = useNavigate();
  const projects = useProjects().data?.items ?? [];
  const set = (change: InsightsSearch) =>
    navigate({ to: routes.insights, search: (before: InsightsSearch) => ({ ...before, ...change }) });
  const names = projects.map((each) => each.name).sort();
  const stages = projects.find((each) => each.name === search.project)?.stages.map((each) => each.name) ?? [];
  return (
    <search className={classes.filters}>
      <Choice
        label="Project"
        all="All Projects"
        names={names}
        chosen={search.project}
        onChoose={(project) => set({ project, stage: undefined })}
      />
      {search.project && (
        <Choice
          label="Stage"
          all="Last Stages"
          names={stages}
          chosen={search.stage}
          onChoose={(stage) => set({ stage })}
        />
      )}
      <nav className={classes.ranges} aria-label="Range">
        {ranges.map((range) => (
          <Link
            key={range}
            to={routes.insights}
            search={{ ...search, range: range === usual ? undefined : range }}
            className={classes.range}
            activeOptions={{ exact: true }}
          >
            {Number.parseInt(range, 10)} days
          </Link>
        ))}
      </nav>
    </search>
  );
}

interface ChoiceProps {
  label: string;
  /** What it is called to choose none of them. */
  all: string;
  names: string[];
  chosen: string | undefined;
  onChoose: (name: string | undefined) => void;
}

function Choice({ label, all, names, chosen, onChoose }: ChoiceProps) {
  // what the address asks for is shown, whether there is such a one or not
  const options = chosen === undefined || names.includes(chosen) ? names : [chosen, ...names];
  return (
    <select
      className={classes.choice}
      aria-label={label}
      value={chosen ?? ''}
      onChange={(event) => onChoose(event.currentTarget.value || undefined)}
    >
      <option value="">{all}</option>
      {options.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

interface ReportProps extends InsightsPageProps {
  report: InsightsReport;
}

function Report({ report, search }: ReportProps) {
  const { total, before } = report;
  const [first] = report.projects;
  if (!first) return <EmptyProjects />;
  if (total.stages.length === 0) return <EmptyProject project={first.project} />;
  return (
    <>
      {report.warning && (
        <p className={classes.warning} role="status">
          <IconAlertTriangle size={15} stroke={1.8} aria-hidden="true" /> {sentence(report.warning)}
        </p>
      )}
      {total.deploys === 0 && !before?.deploys ? (
        <Nothing report={report} search={search} />
      ) : (
        <>
          <p className={classes.about} title={total.stages.join(', ')}>
            Deploys into {places(total.stages)}, as far as the records of promotions tell.
          </p>
          <MeasureTiles now={total} before={before} days={daysOf(search)} />
          <PartsCard parts={report.parts} />
          <div className={classes.columns}>
            <DaysCard days={report.days} total={total} />
            <FailuresCard failures={report.failures} total={total} showsProject={search.project === undefined} />
          </div>
          {search.project === undefined && <ProjectsCard projects={report.projects} search={search} />}
        </>
      )}
    </>
  );
}

function daysOf(search: InsightsSearch): number {
  return Number.parseInt(search.range ?? usual, 10);
}

/** Nothing was deployed: what would be counted here, and how to make some. */
function Nothing({ report, search }: ReportProps) {
  const days = daysOf(search);
  const [stage = ''] = report.total.stages;
  const into = stage.includes('/') ? stage : `${report.projects[0]?.project}/${stage}`;
  return (
    <div className={states.state}>
      <h2>Nothing was deployed in {days} days</h2>
      <p>
        No promotion into {places(report.total.stages)} was pushed in the last {days} days
        {report.before ? `, nor in the ${days} before` : ''}, as far as the records tell. How often, how long and how
        well is counted from those. To make one, if a version may go there:
      </p>
      <CopyBlock label="Command" text={`waybill promote latest ${into}`} />
      {search.range !== '90d' && (
        <p>
          Or look further back:{' '}
          <Link to={routes.insights} search={{ ...search, range: '90d' }} className="external">
            the last 90 days
          </Link>
          .
        </p>
      )}
    </div>
  );
}
