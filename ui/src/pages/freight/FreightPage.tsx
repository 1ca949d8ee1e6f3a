import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { freightOptions, usePermissions, usePipeline } from '../../api/queries';
import type { Freight, Pipeline } from '../../api/types';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { When } from '../../components/When';
import { Dialogs } from '../../dialogs/Dialogs';
import { versionOf } from '../../lib/freight';
import type { DialogSearch } from '../../lib/search';
import { routes } from '../../paths';
import { ContentsCard } from './ContentsCard';
import classes from './FreightPage.module.css';
import { RejectionsCard } from './RejectionsCard';
import { StagesCard } from './StagesCard';

export interface FreightPageProps {
  project: string;
  /** Name, alias or version. */
  freight: string;
  search: DialogSearch;
}

/** One Freight: what is in it, where it is and was, how it was verified and has soaked there, what stops it. */
export function FreightPage({ project, freight: asked, search }: FreightPageProps) {
  const pipeline = usePipeline(project);
  usePermissions(project);
  const query = useQuery(freightOptions(project, asked));
  // What the pipeline shows is live; older Freight is as it was when the page was opened.
  const freight = pipeline.data?.freight.find((each) => each.name === (query.data?.name ?? asked)) ?? query.data;
  const error = pipeline.error ?? (freight ? null : query.error);
  if (error) {
    return (
      <>
        <PageHeader title={asked} project={project} underProject />
        <div className={classes.content}>
          <ErrorState
            error={error}
            what={`The Freight ${asked}`}
            onRetry={() => Promise.all([pipeline.refetch(), query.refetch()])}
          />
        </div>
      </>
    );
  }
  if (!pipeline.data || !freight) {
    return (
      <>
        <PageHeader title={asked} project={project} underProject />
        <section className={`${classes.content} ${classes.column}`} aria-busy="true" aria-label="Loading the Freight">
          <Skeleton height={180} />
          <Skeleton height={140} />
        </section>
      </>
    );
  }
  return <Loaded pipeline={pipeline.data} freight={freight} search={search} />;
}

interface LoadedProps {
  pipeline: Pipeline;
  freight: Freight;
  search: DialogSearch;
}

function Loaded({ pipeline, freight, search }: LoadedProps) {
  return (
    <>
      <PageHeader title={versionOf(freight)} project={pipeline.project} underProject>
        <div className={classes.hero} data-freight={freight.name}>
          {freight.alias && <span>{freight.alias}</span>}
          <span>
            number {freight.order} of{' '}
            <Link to={routes.sources} params={{ project: pipeline.project }} className={classes.link}>
              {freight.origin}
            </Link>
          </span>
          <span>
            found <When at={freight.createdAt} suffix=" ago" />
          </span>
          <code title={freight.name}>{freight.name.slice(0, 12)}</code>
        </div>
      </PageHeader>
      <div className={classes.content}>
        <div className={classes.columns}>
          <StagesCard pipeline={pipeline} freight={freight} />
          <div className={classes.column}>
            <ContentsCard freight={freight} />
            <RejectionsCard project={pipeline.project} freight={freight} />
          </div>
        </div>
      </div>
      <Dialogs pipeline={pipeline} search={search} />
    </>
  );
}
