import { Menu, UnstyledButton } from '@mantine/core';
import {
  IconArrowBackUp,
  IconDots,
  IconFlame,
  IconHandStop,
  IconHelpCircle,
  IconLayoutSidebarRight,
  IconPlayerPlay,
  IconRocket,
  IconSnowflake,
} from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useResume } from '../../api/queries';
import type { Freeze, Stage } from '../../api/types';
import { useToast } from '../../components/toast';
import { useDialog } from '../../lib/search';
import { routes } from '../../paths';
import classes from './StageCard.module.css';

export interface StageMenuProps {
  stage: Stage;
}

/** What can be done with a Stage. The menu is made at the first press: hundreds of cards must draw quickly. */
export function StageMenu({ stage }: StageMenuProps) {
  const [isMade, setMade] = useState(false);
  const button = {
    className: `${classes.menuButton} nodrag nopan`,
    'aria-label': `Actions for ${stage.name}`,
    children: <IconDots size={17} aria-hidden="true" />,
  };
  return (
    <div className={classes.menu}>
      {isMade ? (
        <Menu width={190} defaultOpened returnFocus>
          <Menu.Target>
            <UnstyledButton {...button} />
          </Menu.Target>
          <Items stage={stage} />
        </Menu>
      ) : (
        <UnstyledButton {...button} aria-haspopup="menu" aria-expanded={false} onClick={() => setMade(true)} />
      )}
    </div>
  );
}

function Items({ stage }: StageMenuProps) {
  const dialog = useDialog();
  const next = stage.next?.freight.name;
  const toast = useToast();
  const resume = useResume(stage.project, stage.name);
  // a stop of the whole project is ended where it was made: in the project's header
  const own = (kind: Freeze['shownAs']) =>
    stage.freezes?.find((each) => each.shownAs === kind && each.stage === stage.name);
  const frozen = own('freeze');
  const resumeFlow = () =>
    resume.mutate(undefined, {
      onSuccess: () => toast(`The automatic flow into ${stage.name} goes on.`),
      onError: (problem) => toast(`The flow into ${stage.name} could not be resumed: ${problem.message}`),
    });
  const icon = { size: 15, stroke: 1.7, 'aria-hidden': true } as const;
  return (
    <Menu.Dropdown>
      <Menu.Item leftSection={<IconRocket {...icon} />} onClick={() => dialog({ promote: stage.name, with: next })}>
        Promote…
      </Menu.Item>
      <Menu.Item leftSection={<IconArrowBackUp {...icon} />} onClick={() => dialog({ rollback: stage.name })}>
        Roll back…
      </Menu.Item>
      {next && (
        <Menu.Item leftSection={<IconHelpCircle {...icon} />} onClick={() => dialog({ why: stage.name, with: next })}>
          Why not?
        </Menu.Item>
      )}
      <Menu.Divider />
      {own('hold') ? (
        <Menu.Item leftSection={<IconPlayerPlay {...icon} />} onClick={resumeFlow}>
          Resume
        </Menu.Item>
      ) : (
        <Menu.Item leftSection={<IconHandStop {...icon} />} onClick={() => dialog({ hold: stage.name })}>
          Hold…
        </Menu.Item>
      )}
      {frozen ? (
        <Menu.Item leftSection={<IconFlame {...icon} />} onClick={() => dialog({ thaw: frozen.name })}>
          Thaw…
        </Menu.Item>
      ) : (
        <Menu.Item leftSection={<IconSnowflake {...icon} />} onClick={() => dialog({ freeze: stage.name })}>
          Freeze…
        </Menu.Item>
      )}
      <Menu.Divider />
      <Menu.Item
        leftSection={<IconLayoutSidebarRight {...icon} />}
        renderRoot={(props) => (
          <Link to={routes.stage} params={{ project: stage.project, stage: stage.name }} {...props} />
        )}
      >
        Open stage
      </Menu.Item>
    </Menu.Dropdown>
  );
}
