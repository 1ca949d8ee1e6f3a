import { Button } from '@mantine/core';
import { IconBandage, IconHandStop, IconSnowflake } from '@tabler/icons-react';
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

/** What a stop stops, and what is said when it has ended. */
const kinds = {
  freeze: { what: 'Frozen', ended: '', Icon: IconSnowflake },
  hold: { what: 'The automatic flow is held', ended: 'The automatic flow into $ goes on.', Icon: IconHandStop },
  'healing-pause': { what: 'Healing is paused', ended: '$ is healed again.', Icon: IconBandage },
} as const;

/** A freeze, hold or pause of healing in force: by whom, until when and why, and for who may the way to end it. */
export function StopBanner({ freeze, project }: StopBannerProps) {
  const now = useNow();
  const toast = useToast();
  const dialog = useDialog();
  const permissions = usePermissions(project).data;
  const kind = freeze.shownAs === 'rejected' ? 'freeze' : freeze.shownAs;
  const isFreeze = kind === 'freeze';
  const resume = useResume(project, freeze.stage, kind === 'healing-pause');
  const isAll = freeze.stage === '*';
  const mine = permissions?.stages?.find((each) => each.stage === freeze.stage);
  const mayEnd = (isAll ? permissions?.freezeAll : isFreeze ? mine?.freeze : mine?.hold) ?? false;
  const until = instant(freeze.until);
  const { what, ended, Icon } = kinds[kind];
  return (
    <div className={`${classes.banner} ${statusClass(isFreeze ? 'Frozen' : 'Unknown')}`} data-freeze={freeze.name}>
      <Icon size={18} aria-hidden="true" />
      <div className={classes.text}>
        <strong>{isAll ? `${what}: every Stage of ${project}` : what}</strong> by {personName(freeze.by)}
        {until && ` until ${clock(until, now)}`}: {freeze.reason}
        {resume.isError && <Failure error={resume.error} />}
      </div>
      {mayEnd && !isFreeze && !isAll && (
        <Button
          loading={resume.isPending}
          onClick={() => resume.mutate(undefined, { onSuccess: () => toast(ended.replace('$', freeze.stage)) })}
        >
          {kind === 'hold' ? 'Resume' : 'Heal again'}
        </Button>
      )}
      {mayEnd && (isFreeze || (isAll && kind === 'hold')) && (
        <Button onClick={() => dialog({ thaw: freeze.name })}>{isFreeze ? 'Thaw…' : 'Resume…'}</Button>
      )}
    </div>
  );
}
