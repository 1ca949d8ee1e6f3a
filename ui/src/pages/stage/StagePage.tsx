import { Button, UnstyledButton } from '@mantine/core';
import { IconArrowBackUp, IconRocket, IconSnowflake } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { usePermissions, usePipeline, useStageDetail, useStagePermissions } from '../../api/queries';
import type { Pipeline, Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { ErrorState } from '../../components/ErrorState';
import { GateList } from '../../components/GateList';
import { headerIcon, PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { Status } from '../../components/Status';
import { StopBanner } from '../../components/StopBanner';
import { When } from '../../components/When';
import { Dialogs } from '../../dialogs/Dialogs';
import { versionOf } from '../../lib/freight';
import { usePhone } from '../../lib/phone';
import { type DialogSearch, useDialog } from '../../lib/search';
import { routes } from '../../paths';
import { AboutCard } from './AboutCard';
import { ChecksCard } from './ChecksCard';
import { DriftCard } from './DriftCard';
import { HealthCard } from './HealthCard';
import { PromotionsCard } from './PromotionsCard';
import classes from './StagePage.module.css';

export interface StagePageProps {
  project: string;
  stage: string;
  search: DialogSearch;
}

/** One Stage: what is next and what stops it, how it is and why, what drifted, what was promoted. */
export function StagePage({ project, stage: name, search }: StagePageProps) {
  const query = usePipeline(project);
  usePermissions(project);
  const stage = query.data?.stages.find((each) => each.name === name);
  if (query.isError || (query.data && !stage)) {
    return (
      <>
        <PageHeader title={name} project={project} underProject />
        <div className={classes.content}>
          <ErrorState
            error={query.error ?? new Error(`There is no Stage ${name} in ${project}`)}
            what={`The Stage ${name}`}
            onRetry={() => query.refetch()}
          />
        </div>
      </>
    );
  }
  if (!query.data || !stage) {
    return (
      <>
        <PageHeader title={name} project={project} underProject />
        <section className={`${classes.content} ${classes.column}`} aria-busy="true" aria-label="Loading the stage">
          <Skeleton height={180} />
          <Skeleton height={240} />
        </section>
      </>
    );
  }
  return <Loaded pipeline={query.data} stage={stage} search={search} />;
}

interface LoadedProps {
  pipeline: Pipeline;
  stage: Stage;
  search: DialogSearch;
}

function Loaded({ pipeline, stage, search }: LoadedProps) {
  const dialog = useDialog();
  const detail = useStageDetail(pipeline.project, stage.name);
  const mayPromote = useStagePermissions(pipeline.project, stage.name)?.promote ?? false;
  const next = stage.next;
  const place = stage.destinations[0];
  const isPhone = usePhone();
  const actions = (
    <>
      <Button
        leftSection={<IconArrowBackUp size={16} stroke={1.7} aria-hidden="true" />}
        onClick={() => dialog({ rollback: stage.name })}
      >
        Roll back…
      </Button>
      <Button
        variant="filled"
        leftSection={<IconRocket size={16} stroke={1.7} aria-hidden="true" />}
        onClick={() => dialog({ promote: stage.name, with: next?.freight.name })}
      >
        Promote…
      </Button>
    </>
  );
  const freeze = (
    <UnstyledButton
      className={headerIcon}
      aria-label={`Freeze ${stage.name}`}
      title={`Freeze ${stage.name}…`}
      onClick={() => dialog({ freeze: stage.name })}
    >
      <IconSnowflake size={16} stroke={1.8} aria-hidden="true" />
    </UnstyledButton>
  );
  return (
    <>
      <PageHeader
        title={stage.name}
        project={pipeline.project}
        underProject
        actions={
          isPhone ? (
            freeze
          ) : (
            <>
              {freeze}
              {actions}
            </>
          )
        }
      >
        <div className={classes.hero} data-stage={stage.name} data-status={stage.status.word}>
          {stage.freight && (
            <>
              <Link
                to={routes.freight}
                params={{ project: pipeline.project, freight: stage.freight.name }}
                className={classes.version}
              >
                {versionOf(stage.freight)}
              </Link>
              <span className={classes.muted}>{stage.freight.alias}</span>
            </>
          )}
          <Status status={stage.status.word} pill />
          <span className={classes.muted}>{stage.status.sentence}</span>
          <span className={classes.facts}>
            {stage.behind > 0 && <span>{stage.behind} behind</span>}
            {stage.freight?.since && (
              <span>
                for <When at={stage.freight.since} />
              </span>
            )}
            {place && (
              <span>
                {place.cluster} · {place.namespace}
              </span>
            )}
          </span>
        </div>
        {isPhone && <div className={classes.phoneActions}>{actions}</div>}
      </PageHeader>
      <div className={classes.content}>
        {stage.freezes && stage.freezes.length > 0 && (
          <div className={classes.stops}>
            {stage.freezes.map((freeze) => (
              <StopBanner key={freeze.name} freeze={freeze} project={pipeline.project} />
            ))}
          </div>
        )}
        <div className={classes.columns}>
          <div className={classes.column}>
            {next && (
              <Card
                title={
                  <>
                    Next: {versionOf(next.freight)} <span className={classes.muted}>{next.freight.alias}</span>
                  </>
                }
                aside={
                  <Button
                    size="xs"
                    variant="subtle"
                    onClick={() => dialog({ why: stage.name, with: next.freight.name })}
                  >
                    All gates
                  </Button>
                }
              >
                {next.closed.length > 0 ? (
                  <GateList gates={next.closed} label="Closed gates" />
                ) : (
                  <p className={classes.empty}>Every gate is open.</p>
                )}
              </Card>
            )}
            <ChecksCard project={pipeline.project} stage={stage} />
            <HealthCard project={pipeline.project} stage={stage} />
            <DriftCard project={pipeline.project} stage={stage} />
          </div>
          <div className={classes.column}>
            <PromotionsCard
              stage={stage}
              promotions={detail.data?.promotions}
              activity={pipeline.activity}
              error={detail.error}
              onRetry={() => detail.refetch()}
              onRetryPromotion={
                mayPromote ? (row) => dialog({ promote: stage.name, with: row.freight, retry: row.name }) : undefined
              }
            />
            <AboutCard stage={stage} />
          </div>
        </div>
      </div>
      <Dialogs pipeline={pipeline} search={search} />
    </>
  );
}
