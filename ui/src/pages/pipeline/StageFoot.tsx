import { Button, UnstyledButton } from '@mantine/core';
import { IconCheck, IconLoader2, IconLock } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Gate, Stage, Verdict } from '../../api/types';
import { GateIcon } from '../../components/GateIcon';
import { versionOf } from '../../lib/freight';
import { useDialog } from '../../lib/search';
import { routes } from '../../paths';
import classes from './StageCard.module.css';

export interface StageFootProps {
  stage: Stage;
  verdict?: Verdict | null;
}

/** The last line of a Stage's card: what comes next, or the verdict about the selected Freight. */
export function StageFoot({ stage, verdict }: StageFootProps) {
  if (verdict !== undefined) return <VerdictFoot stage={stage} verdict={verdict} />;
  const next = stage.next;
  return (
    <div className={classes.foot}>
      {stage.behind > 0 && <span className={classes.tag}>{stage.behind} behind</span>}
      {next ? (
        next.closed.length > 0 ? (
          <Reason gates={next.closed} stage={stage.name} freight={next.freight.name} />
        ) : (
          <span className={classes.footText}>{versionOf(next.freight)} ready</span>
        )
      ) : (
        <span className={classes.footText}>{stage.freight ? 'up to date' : 'waiting for Freight'}</span>
      )}
      <NextAction stage={stage} />
    </div>
  );
}

/** The button of the server's next action; what waits for approval comes first. */
function NextAction({ stage }: { stage: Stage }) {
  const dialog = useDialog();
  const asking = stage.pendingPromotions?.find((each) =>
    each.gates?.some((gate) => gate.gate === 'approval' && !gate.open),
  );
  if (asking) {
    return (
      <Button className="nodrag nopan" size="xs" variant="filled" onClick={() => dialog({ review: asking.name })}>
        Review…
      </Button>
    );
  }
  const action = stage.status.nextAction;
  if (!action?.verb || action.verb === 'watch' || action.verb === 'wait') {
    // nothing is wrong: what a person may do is let the next Freight in
    if (stage.auto || !stage.next?.mayPromote || stage.next.closed.length > 0) return null;
    const next = stage.next.freight.name;
    return (
      <Button
        className="nodrag nopan"
        size="xs"
        variant="filled"
        onClick={() => dialog({ promote: stage.name, with: next })}
      >
        Promote…
      </Button>
    );
  }
  const press = (label: string, onClick: () => void, filled = false) => (
    <Button className="nodrag nopan" size="xs" variant={filled ? 'filled' : 'default'} onClick={onClick}>
      {action.label ?? label}
    </Button>
  );
  switch (action.verb) {
    case 'promote':
      return press('Promote…', () => dialog({ promote: stage.name, with: stage.next?.freight.name }), true);
    case 'rollback':
      return press('Roll back…', () => dialog({ rollback: stage.name }), true);
    case 'thaw': {
      const freeze = stage.freezes?.find((each) => each.shownAs === 'freeze');
      if (!freeze) return null;
      return (
        <Button className="nodrag nopan" size="xs" onClick={() => dialog({ thaw: freeze.name })}>
          Thaw…
        </Button>
      );
    }
    case 'open':
    case 'resume':
      return (
        <Button
          className="nodrag nopan"
          size="xs"
          variant="default"
          renderRoot={(props) => (
            <Link to={routes.stage} params={{ project: stage.project, stage: stage.name }} {...props} />
          )}
        >
          {action.label ?? 'Open'}
        </Button>
      );
    default:
      return null; // a verb this page does not know: the server's sentence says it
  }
}

function VerdictFoot({ stage, verdict }: { stage: Stage; verdict: Verdict | null }) {
  const dialog = useDialog();
  if (verdict === null) {
    return (
      <Foot icon={<IconLock size={15} stroke={1.8} aria-hidden="true" />}>
        <span className={classes.footText}>takes Freight from elsewhere</span>
      </Foot>
    );
  }
  switch (verdict.state) {
    case 'current':
      return (
        <Foot icon={<IconCheck size={15} stroke={1.9} color="var(--st-ok)" aria-hidden="true" />}>
          <span className={classes.footText}>runs here</span>
        </Foot>
      );
    case 'arriving':
      return (
        <Foot icon={<IconLoader2 size={15} stroke={1.9} color="var(--st-run)" aria-hidden="true" />}>
          {verdict.closed.length > 0 ? (
            <Reason gates={verdict.closed} stage={stage.name} freight={verdict.freight} />
          ) : (
            <span className={classes.footText}>on its way</span>
          )}
        </Foot>
      );
    case 'open':
      return (
        <Foot>
          {verdict.closed.length > 0 ? (
            <Reason gates={verdict.closed} stage={stage.name} freight={verdict.freight} />
          ) : (
            <span className={classes.footText}>can go here</span>
          )}
          <Button
            className="nodrag nopan"
            size="xs"
            variant="filled"
            onClick={() => dialog({ promote: stage.name, with: verdict.freight })}
          >
            Promote…
          </Button>
        </Foot>
      );
    default:
      return (
        <Foot>
          <Reason gates={verdict.closed} stage={stage.name} freight={verdict.freight} />
        </Foot>
      );
  }
}

function Foot({ icon, children }: { icon?: ReactNode; children: ReactNode }) {
  return (
    <div className={classes.foot}>
      {icon}
      {children}
    </div>
  );
}

interface ReasonProps {
  gates: Gate[];
  stage: string;
  freight: string;
}

/** The first closed gate in the server's words and how many more there are; opens the whole list. */
function Reason({ gates, stage, freight }: ReasonProps) {
  const dialog = useDialog();
  const first = gates[0];
  if (!first) return <span className={classes.footText} />;
  const words = first.reason ?? first.gate;
  return (
    <UnstyledButton
      className={`${classes.reason} nodrag nopan`}
      title={gates.map((gate) => gate.reason ?? gate.gate).join('\n')}
      onClick={() => dialog({ why: stage, with: freight })}
    >
      <GateIcon gate={first} size={14} />
      <span className={classes.footText}>{words}</span>
      {gates.length > 1 && <span>+{gates.length - 1}</span>}
    </UnstyledButton>
  );
}
