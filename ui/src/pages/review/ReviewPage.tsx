import { usePermissions } from '../../api/queries';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import { useDecision } from '../../review/decision';
import classes from '../../review/Review.module.css';
import { ReviewBody } from '../../review/ReviewBody';
import { ReviewFoot, useAnswerChord } from '../../review/ReviewFoot';
import { ReviewPill, ReviewVersions, reviewTitle } from '../../review/ReviewHead';

export interface ReviewPageProps {
  project: string;
  /** Name of the Promotion. */
  promotion: string;
}

/** The decision about one Promotion as a page of its own: what a link in a chat and a phone's Inbox lead to. */
export function ReviewPage({ project, promotion: name }: ReviewPageProps) {
  usePermissions(project);
  const decision = useDecision(project, name);
  useAnswerChord();
  const promotion = decision.promotion.data;
  if (!promotion) {
    return (
      <>
        <PageHeader title="Review" project={project} underProject />
        <div className={classes.body}>
          {decision.promotion.isError ? (
            <ErrorState
              error={decision.promotion.error}
              what={`The promotion ${name}`}
              onRetry={() => decision.promotion.refetch()}
            />
          ) : (
            <section aria-busy="true" aria-label="Loading the promotion">
              <Skeleton height={320} />
            </section>
          )}
        </div>
      </>
    );
  }
  return (
    <>
      <PageHeader title={reviewTitle(promotion)} project={project} underProject>
        <div className={classes.headLine}>
          <ReviewVersions promotion={promotion} />
          <span className={classes.push}>
            <ReviewPill promotion={promotion} />
          </span>
        </div>
      </PageHeader>
      <ReviewBody decision={decision} promotion={promotion} />
      <ReviewFoot decision={decision} />
    </>
  );
}
