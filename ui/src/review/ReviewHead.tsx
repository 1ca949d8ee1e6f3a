import { IconArrowRight } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { Promotion } from '../api/types';
import { PhaseIcon } from '../components/PhaseIcon';
import { statusClass } from '../components/Status';
import { StatusIcon } from '../components/StatusIcon';
import { statusOfPhase } from '../components/status';
import { When } from '../components/When';
import { fullName, personName, versionOf } from '../lib/freight';
import { isDecidable, titleVersion } from './decision';
import classes from './Review.module.css';

/** What the decision is about: "Promote to prod", "Roll back prod". */
export function reviewTitle(promotion: Promotion): string {
  return promotion.kind === 'Rollback' ? `Roll back ${promotion.stage}` : `Promote to ${promotion.stage}`;
}

/** How the Promotion stands, with the number of approvals that are missing. */
export function ReviewPill({ promotion }: { promotion: Promotion }) {
  const need = promotion.approvalNeed;
  const missing = need ? need.need - need.have : 0;
  if (!isDecidable(promotion)) {
    return (
      <span className={`${classes.pill} ${statusClass(statusOfPhase[promotion.phase])}`} data-phase={promotion.phase}>
        <PhaseIcon phase={promotion.phase} size={14} /> {phaseWords[promotion.phase] ?? promotion.phase}
      </span>
    );
  }
  return (
    <span className={`${classes.pill} ${statusClass('Waiting')}`} data-phase="Pending">
      <StatusIcon status="Waiting" size={14} /> Waiting
      {missing > 0 && ` · ${missing} more approval${missing > 1 ? 's' : ''}`}
    </span>
  );
}

const phaseWords: Partial<Record<Promotion['phase'], string>> = {
  Running: 'Progressing',
  Syncing: 'Progressing',
  Verifying: 'Progressing',
  RolledBack: 'Rolled back',
};

/** What runs, and what would run. */
export function ReviewVersions({ promotion }: { promotion: Promotion }) {
  const from = promotion.from?.find((each) => each.origin === promotion.freight?.origin) ?? promotion.from?.[0];
  const to = promotion.kind === 'Rollback' ? (promotion.to ?? promotion.freight) : promotion.freight;
  return (
    <div className={classes.versions}>
      {from && (
        <>
          <span className={classes.version} title={fullName(from)}>
            {versionOf(from)}
          </span>
          <IconArrowRight size={18} stroke={1.8} aria-label="to" />
        </>
      )}
      <span className={classes.version}>{titleVersion(promotion)}</span>
      <span className={classes.muted}>{to?.alias}</span>
    </div>
  );
}

export interface ReviewHeadProps {
  promotion: Promotion;
  title: ReactNode;
  /** Buttons at the right. */
  aside?: ReactNode;
}

/** The head of a decision: what, how it stands, who asked, and from which version to which. */
export function ReviewHead({ promotion, title, aside }: ReviewHeadProps) {
  return (
    <div className={classes.head}>
      <div className={classes.headLine}>
        {title}
        <ReviewPill promotion={promotion} />
        <span className={classes.push}>
          <span>
            asked by {promotion.automatic ? 'waybill' : personName(promotion.requestedBy) || 'nobody known'}{' '}
            <When at={promotion.createdAt} suffix=" ago" />
          </span>
          {aside}
        </span>
      </div>
      <ReviewVersions promotion={promotion} />
    </div>
  );
}
