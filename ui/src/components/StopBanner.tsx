import { Button } from '@mantine/core';
import { IconHandStop, IconSnowflake } from '@tabler/icons-react';
import { usePermissions, useResume } from '../api/queries';
import type { Freeze } from '../api/types';
import { Failure } from '../dialogs/Note';
import { personName } from '../lib/freight';
import { useNow } from '../lib/now';
import { useDialog } from '../lib/search';
import { clock, instant } from '../lib/time';
import { statusClass } from './Status';
import classes from './StopBanner.module.css';
import { useToast } from './toast';

export interface StopBannerProps {
  freeze: Freeze;
  project: string;
}

/** A freeze or hold in force: by whom, until when and why, and for who may the way to end it. */
export function StopBanner({ freeze, project }: StopBannerProps) {
  const now = useNow();
  const toast = useToast();
  const dialog = useDialog();
  const permissions = usePermissions(project).data;
  const resume = useResume(project, freeze.stage);
  const isAll = freeze.stage === '*';
  const isHold = freeze.shownAs === 'hold';
  const mine = permissions?.stages?.find((each) => each.stage === freeze.stage);
  const mayEnd = (isAll ? permissions?.freezeAll : isHold ? mine?.hold : mine?.freeze) ?? false;
  const until = instant(freeze.until);
  const what = isHold ? 'The automatic flow is held' : 'Frozen';
  return (
    <div className={`${classes.banner} ${statusClass(isHold ? 'Unknown' : 'Frozen')}`} data-freeze={freeze.name}>
      {isHold ? <IconHandStop size={18} aria-hidden="true" /> : <IconSnowflake size={18} aria-hidden="true" />}
      <div className={classes.text}>
        <strong>{isAll ? `${what}: every Stage of ${project}` : what}</strong> by {personName(freeze.by)}
        {until && ` until ${clock(until, now)}`}: {freeze.reason}
        {resume.isError && <Failure error={resume.error} />}
      </div>
      {mayEnd && isHold && !isAll && (
        <Button
          loading={resume.isPending}
          onClick={() =>
            resume.mutate(undefined, { onSuccess: () => toast(`The automatic flow into ${freeze.stage} goes on.`) })
          }
        >
          Resume
        </Button>
      )}
      {mayEnd && (!isHold || isAll) && (
        <Button onClick={() => dialog({ thaw: freeze.name })}>{isHold ? 'Resume…' : 'Thaw…'}</Button>
      )}
    </div>
  );
}
