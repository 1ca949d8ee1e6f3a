import { CloseButton, Drawer } from '@mantine/core';
import { ErrorState } from '../components/ErrorState';
import { Skeleton } from '../components/Skeleton';
import { usePhone } from '../lib/phone';
import { useDialog } from '../lib/search';
import { useDecision } from './decision';
import classes from './Review.module.css';
import { ReviewBody } from './ReviewBody';
import { ReviewFoot, useAnswerChord } from './ReviewFoot';
import { ReviewHead, reviewTitle } from './ReviewHead';

export interface ReviewDrawerProps {
  project: string;
  /** Name of the Promotion. */
  promotion: string;
}

/** The decision about one Promotion over the page: a drawer, on a phone the whole screen. */
export function ReviewDrawer({ project, promotion: name }: ReviewDrawerProps) {
  const dialog = useDialog();
  const isPhone = usePhone();
  const decision = useDecision(project, name);
  useAnswerChord();
  const promotion = decision.promotion.data;
  const close = <CloseButton aria-label="Close" onClick={() => dialog()} />;
  const title = (
    <Drawer.Title className={classes.title} tabIndex={-1} data-autofocus>
      {promotion ? reviewTitle(promotion) : 'Review'}
    </Drawer.Title>
  );
  return (
    <Drawer.Root
      opened
      onClose={() => dialog()}
      position="right"
      size={isPhone ? '100%' : 1020}
      lockScroll={false}
      transitionProps={{ duration: 0 }}
    >
      <Drawer.Overlay />
      <Drawer.Content>
        <div className={classes.drawer}>
          {promotion ? (
            <>
              <ReviewHead promotion={promotion} title={title} aside={close} />
              <ReviewBody decision={decision} promotion={promotion} />
              <ReviewFoot decision={decision} />
            </>
          ) : (
            <>
              <div className={classes.head}>
                <div className={classes.headLine}>
                  {title}
                  <span className={classes.push}>{close}</span>
                </div>
              </div>
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
          )}
        </div>
      </Drawer.Content>
    </Drawer.Root>
  );
}
