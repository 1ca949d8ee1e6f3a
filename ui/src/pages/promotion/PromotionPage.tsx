import { Button, UnstyledButton } from '@mantine/core';
import { IconArrowBackUp, IconCopy, IconRefresh, IconSquare } from '@tabler/icons-react';
import { Link, useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { usePermissions, usePipeline, usePromotion, useStagePermissions } from '../../api/queries';
import type { Pipeline, Promotion, Stage } from '../../api/types';
import { Avatar } from '../../components/Avatar';
import { Card } from '../../components/Card';
import { ErrorState, sentence } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { PhaseIcon } from '../../components/PhaseIcon';
import { Skeleton } from '../../components/Skeleton';
import { StatusIcon } from '../../components/StatusIcon';
import { useToast } from '../../components/toast';
import { When } from '../../components/When';
import { Dialogs } from '../../dialogs/Dialogs';
import { personName, versionOf } from '../../lib/freight';
import { isTyping } from '../../lib/keys';
import { useNow } from '../../lib/now';
import { isDialogOpen, type PromotionSearch, useDialog } from '../../lib/search';
import { instant, span } from '../../lib/time';
import { routes } from '../../paths';
import { isDecidable, titleVersion } from '../../review/decision';
import review from '../../review/Review.module.css';
import { ReviewPill, ReviewVersions } from '../../review/ReviewHead';
import { AbortDialog } from './AbortDialog';
import { ChangesCard } from './ChangesCard';
import { DefinitionCard } from './DefinitionCard';
import classes from './PromotionPage.module.css';
import { StepPanel } from './StepPanel';
import { StepsCard } from './StepsCard';
import { forChat, rowOfInterest, type StepRow, stepRows } from './steps';

export interface PromotionPageProps {
  project: string;
  promotion: string;
  search: PromotionSearch;
}

/** One Promotion while it goes on and afterwards: its steps, what each did, what it changed, and what that means. */
export function PromotionPage({ project, promotion: name, search }: PromotionPageProps) {
  const query = usePromotion(project, name);
  const pipeline = usePipeline(project).data;
  usePermissions(project);
  const promotion = query.data;
  if (!promotion) {
    return (
      <>
        <PageHeader title={name} project={project} underProject />
        <div className={classes.content}>
          {query.isError ? (
            <ErrorState error={query.error} what={`The promotion ${name}`} onRetry={() => query.refetch()} />
          ) : (
            <section aria-busy="true" aria-label="Loading the promotion">
              <Skeleton height={320} />
            </section>
          )}
        </div>
      </>
    );
  }
  return <Loaded promotion={promotion} pipeline={pipeline} search={search} />;
}

interface LoadedProps {
  promotion: Promotion;
  pipeline: Pipeline | undefined;
  search: PromotionSearch;
}

function Loaded({ promotion, pipeline, search }: LoadedProps) {
  const navigate = useNavigate();
  const stage = pipeline?.stages.find((each) => each.name === promotion.stage);
  const deploys = (stage?.destinations.length ?? 0) > 0 || promotion.phase === 'Syncing';
  const rows = stepRows(promotion, deploys, (stage?.checks ?? 0) > 0);
  const chosen = rowOfInterest(rows, search.step);
  const tab = search.tab ?? 'steps';
  const go = (to: Partial<PromotionSearch>) =>
    navigate({
      to: routes.promotion,
      params: { project: promotion.project, promotion: promotion.name },
      search: { ...search, ...to },
      replace: true,
    });
  const choose = (row: StepRow) => go({ step: row.key });
  useKeys(rows, chosen, choose, isDialogOpen(search));

  return (
    <>
      <PageHeader
        title={promotion.name}
        project={promotion.project}
        underProject
        actions={<Actions promotion={promotion} rows={rows} stage={stage} />}
      >
        <Hero promotion={promotion} />
        <nav className={classes.tabs} aria-label="Parts of the promotion">
          {(['steps', 'changes', 'yaml'] as const).map((each) => (
            <UnstyledButton
              key={each}
              className={classes.tab}
              aria-current={each === tab ? 'page' : undefined}
              onClick={() => go({ tab: each === 'steps' ? undefined : each })}
            >
              {each === 'yaml' ? 'YAML' : each === 'steps' ? 'Steps' : 'Changes'}
            </UnstyledButton>
          ))}
        </nav>
      </PageHeader>
      <div className={classes.content}>
        {tab === 'steps' && (
          <div className={classes.columns}>
            <div className={classes.column}>
              <StepsCard promotion={promotion} rows={rows} chosen={chosen?.key} onChoose={choose} />
              <Meaning promotion={promotion} stage={stage} />
            </div>
            {chosen && <StepPanel promotion={promotion} row={chosen} stage={stage} />}
          </div>
        )}
        {tab === 'changes' && <ChangesCard promotion={promotion} />}
        {tab === 'yaml' && <DefinitionCard project={promotion.project} kind="promotions" name={promotion.name} />}
      </div>
      {pipeline && <Dialogs pipeline={pipeline} search={search} />}
      {search.abort && <AbortDialog promotion={promotion} />}
    </>
  );
}

/** From which version to which, how it stands, and who wanted it. */
function Hero({ promotion }: { promotion: Promotion }) {
  const now = useNow();
  const start = instant(promotion.startedAt);
  const end = instant(promotion.finishedAt);
  const seconds = start && ((end ?? now).getTime() - start.getTime()) / 1000;
  const approvers = (promotion.approvals ?? []).filter(
    (each) => each.decision === 'Approve' && each.standing === 'counts',
  );
  return (
    <div className={review.headLine} data-promotion={promotion.name} data-phase={promotion.phase}>
      <ReviewVersions promotion={promotion} />
      <span className={review.muted}>
        to{' '}
        <Link to={routes.stage} params={{ project: promotion.project, stage: promotion.stage }}>
          {promotion.stage}
        </Link>
      </span>
      <ReviewPill promotion={promotion} />
      <span className={review.push}>
        {promotion.automatic ? (
          <span>Automatic</span>
        ) : (
          <span className={classes.person}>
            Asked by <Avatar name={personName(promotion.requestedBy)} size={20} />{' '}
            {personName(promotion.requestedBy) || 'nobody known'}
          </span>
        )}
        {approvers.length > 0 && (
          <span className={classes.person}>
            Approved by {approvers.map((each) => personName(each.actor)).join(', ')}
          </span>
        )}
        {seconds !== undefined && (
          <span>
            {end ? 'took' : 'for'} {span(seconds)}
            {end && (
              <>
                , ended <When at={promotion.finishedAt} suffix=" ago" />
              </>
            )}
          </span>
        )}
      </span>
    </div>
  );
}

interface ActionsProps {
  promotion: Promotion;
  rows: StepRow[];
  stage: Stage | undefined;
}

function Actions({ promotion, rows, stage }: ActionsProps) {
  const dialog = useDialog();
  const toast = useToast();
  const navigate = useNavigate();
  const permissions = usePermissions(promotion.project).data;
  const mayPromote = useStagePermissions(promotion.project, promotion.stage)?.promote ?? false;
  const icon = { size: 16, stroke: 1.7, 'aria-hidden': true } as const;
  const mayReview =
    isDecidable(promotion) &&
    (!!promotion.approvalNeed?.step || promotion.gates?.some(({ gate, open }) => gate === 'approval' && !open));
  const copy = () => {
    const failed = rows.find((row) => row.state === 'Failed');
    const text = forChat(promotion, titleVersion(promotion), failed, window.location.href);
    const done = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
    done.then(
      () => toast('Copied: a few lines for a chat.'),
      () => toast('This browser does not let the page copy.'),
    );
  };
  return (
    <>
      {promotion.finished && (
        <Button leftSection={<IconCopy {...icon} />} onClick={copy} className={classes.hidePhone}>
          Copy for chat
        </Button>
      )}
      {!promotion.finished && !promotion.abort && (permissions?.abort ?? false) && (
        <Button
          leftSection={<IconSquare {...icon} />}
          onClick={() => navigate({ to: '.', search: (before: object) => ({ ...before, abort: true as const }) })}
        >
          Abort…
        </Button>
      )}
      {promotion.phase === 'Succeeded' && stage?.freight?.promotion === promotion.name && (
        <Button leftSection={<IconArrowBackUp {...icon} />} onClick={() => dialog({ rollback: promotion.stage })}>
          Roll back…
        </Button>
      )}
      {promotion.mayRetry && promotion.kind === 'Promote' && mayPromote && (
        <Button
          leftSection={<IconRefresh {...icon} />}
          onClick={() => dialog({ promote: promotion.stage, with: promotion.freight?.name, retry: promotion.name })}
        >
          Retry…
        </Button>
      )}
      {mayReview && (
        <Button variant="filled" onClick={() => dialog({ review: promotion.name })}>
          Review…
        </Button>
      )}
    </>
  );
}

/** What is true now, in the server's sentences: of the Stage, and of what came after. */
function Meaning({ promotion, stage }: { promotion: Promotion; stage: Stage | undefined }) {
  const status = stage?.status ?? promotion.stageStatus;
  const runs = stage?.freight && `runs ${versionOf(stage.freight)}`;
  const follow = (name: string, text = name) => (
    <Link to={routes.promotion} params={{ project: promotion.project, promotion: name }}>
      {text}
    </Link>
  );
  return (
    <Card title="What this means now">
      <ul className={classes.meaning}>
        {status && (
          <li>
            <StatusIcon status={status.word} size={16} label={status.word} />
            <span>
              {promotion.stage}
              {runs && ` ${runs}`}
              {runs ? '. ' : ': '}
              {runs !== status.sentence && sentence(status.sentence)}
            </span>
          </li>
        )}
        {promotion.rolledBackBy && (
          <li>
            <PhaseIcon phase="RolledBack" size={16} />
            <span>
              {sentence(promotion.message || 'it was taken back')} {follow(promotion.rolledBackBy, 'Show the rollback')}
            </span>
          </li>
        )}
        {promotion.supersededBy && (
          <li>
            <PhaseIcon phase="Superseded" size={16} />
            <span>{follow(promotion.supersededBy)} came in its place.</span>
          </li>
        )}
        {promotion.retryOf && (
          <li>
            <IconRefresh size={16} stroke={1.7} aria-hidden="true" />
            <span>It tries {follow(promotion.retryOf)} again.</span>
          </li>
        )}
        {promotion.retriedBy && (
          <li>
            <IconRefresh size={16} stroke={1.7} aria-hidden="true" />
            <span>{follow(promotion.retriedBy)} tries it again.</span>
          </li>
        )}
        {promotion.abort && (
          <li>
            <PhaseIcon phase="Aborted" size={16} />
            <span>
              {personName(promotion.abort.by)} aborted it
              {promotion.abort.reason ? `: ${promotion.abort.reason}` : '.'}
            </span>
          </li>
        )}
        {promotion.requestReason && (
          <li>
            <Avatar name={promotion.automatic ? 'waybill' : personName(promotion.requestedBy)} size={20} />
            <span>{promotion.requestReason}</span>
          </li>
        )}
      </ul>
    </Card>
  );
}

/** `j` and `k` move through the steps. */
function useKeys(rows: StepRow[], chosen: StepRow | undefined, choose: (row: StepRow) => void, isBusy: boolean): void {
  useEffect(() => {
    if (isBusy) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const at = rows.findIndex((row) => row.key === chosen?.key);
      const next = event.key === 'j' ? rows[at + 1] : event.key === 'k' ? rows[at - 1] : undefined;
      if (next) choose(next);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
}
