import { Button, Modal } from '@mantine/core';
import { IconBolt, IconRocket } from '@tabler/icons-react';
import { useThaw } from '../api/queries';
import type { Freeze, Pipeline } from '../api/types';
import { useToast } from '../components/toast';
import { When } from '../components/When';
import { personName, versionOf } from '../lib/freight';
import { useNow } from '../lib/now';
import { usePhone } from '../lib/phone';
import { useDialog } from '../lib/search';
import { stageNames } from '../lib/stops';
import { clock, instant } from '../lib/time';
import { useLiveState } from '../live/live';
import { Failure } from './Note';
import sheet from './Sheet.module.css';
import classes from './StopDialog.module.css';

export interface ThawDialogProps {
  pipeline: Pipeline;
  freeze: Freeze;
}

/** Ends a freeze: who made it and why, and what may move then. */
export function ThawDialog({ pipeline, freeze }: ThawDialogProps) {
  const dialog = useDialog();
  const toast = useToast();
  const now = useNow();
  const isPhone = usePhone();
  const { phase } = useLiveState();
  const thaw = useThaw(pipeline.project);
  const isAll = freeze.stage === '*';
  const name = isAll ? pipeline.project : freeze.stage;
  const until = instant(freeze.until);
  const stages = pipeline.stages.filter((each) => isAll || each.name === freeze.stage);
  const waiting = stages.flatMap((each) => each.pendingPromotions ?? []);
  const automatic = stages.filter((each) => each.auto).map((each) => each.name);
  const isLive = phase === 'live' || phase === 'connecting';

  return (
    <Modal
      opened
      onClose={() => dialog()}
      title={
        <span className={sheet.title} tabIndex={-1} data-autofocus>
          Thaw {name}
        </span>
      }
      closeButtonProps={{ 'aria-label': 'Close' }}
      size={520}
      fullScreen={isPhone}
      lockScroll={false}
      radius={isPhone ? 0 : 12}
      transitionProps={{ duration: 0 }}
    >
      <p className={classes.lead}>
        {personName(freeze.by)} froze it <When at={freeze.createdAt} suffix=" ago" />
        {until && `, until ${clock(until, now)}`}: {freeze.reason}
      </p>
      <div className={sheet.box}>
        <div className={sheet.fact}>
          <IconRocket size={17} stroke={1.7} aria-hidden="true" />
          <div>
            <strong>
              {waiting.length === 0
                ? 'No promotion is waiting'
                : waiting.length === 1
                  ? '1 promotion is waiting'
                  : `${waiting.length} promotions are waiting`}
            </strong>
            <span>
              {waiting.length === 0
                ? 'People can promote again.'
                : `${waiting.map((each) => `${each.freight ? versionOf(each.freight) : each.name} into ${each.stage}`).join(', ')}: starts as soon as every other gate is open.`}
            </span>
          </div>
        </div>
        {automatic.length > 0 && (
          <div className={sheet.fact}>
            <IconBolt size={17} stroke={1.7} aria-hidden="true" />
            <div>
              <strong>The automatic flow goes on into {stageNames(automatic)}</strong>
              <span>Unless it is held.</span>
            </div>
          </div>
        )}
      </div>
      {thaw.isError && <Failure error={thaw.error} />}
      <div className={classes.buttons}>
        {!isLive && (
          <p className={sheet.muted} id="thaw-obstacle">
            The connection is lost and this page may show old data. It comes back by itself.
          </p>
        )}
        <Button data-size="md" onClick={() => dialog()}>
          Cancel
        </Button>
        <Button
          data-size="md"
          variant="filled"
          disabled={!isLive}
          aria-describedby={isLive ? undefined : 'thaw-obstacle'}
          loading={thaw.isPending}
          onClick={() =>
            thaw.mutate(freeze.name, {
              onSuccess: () => {
                dialog();
                toast(`${name} is thawed.`);
              },
            })
          }
        >
          Thaw
        </Button>
      </div>
    </Modal>
  );
}
