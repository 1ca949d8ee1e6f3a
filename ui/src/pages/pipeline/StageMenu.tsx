import { Menu, UnstyledButton } from '@mantine/core';
import { IconArrowBackUp, IconDots, IconHelpCircle, IconLayoutSidebarRight, IconRocket } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Stage } from '../../api/types';
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
