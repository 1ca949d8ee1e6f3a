import { type MantineColorScheme, Menu, UnstyledButton, useMantineColorScheme } from '@mantine/core';
import {
  IconChartBar,
  IconDeviceDesktop,
  IconInbox,
  IconKey,
  IconLayoutGrid,
  IconLogout,
  IconMoon,
  IconSelector,
  IconServer2,
  IconSitemap,
  IconSun,
  IconUser,
} from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { lazy, type ReactNode, Suspense, useState } from 'react';
import { useInbox, useMyPermissions } from '../api/queries';
import { useSession, useSignOut } from '../api/session';
import { useRecent } from '../lib/recent';
import { toDo } from '../pages/inbox/rows';
import { routes } from '../paths';
import { Avatar } from './Avatar';
import { Logo } from './Logo';
import classes from './Shell.module.css';

const PasswordDialog = lazy(() =>
  import('../dialogs/PasswordDialog').then((module) => ({ default: module.PasswordDialog })),
);

export interface ShellProps {
  children: ReactNode;
}

/** The frame of every page behind the sign-in: navigation on the left, on a phone at the bottom. */
export function Shell({ children }: ShellProps) {
  const recent = useRecent();
  const count = toDo(useInbox().data);
  const seesClusters = useMyPermissions().data?.listClusters ?? false;
  return (
    <div className={classes.shell}>
      <a href="#main" className={classes.skip}>
        Skip to content
      </a>
      <nav className={classes.nav} aria-label="Main">
        <Link to={routes.projects} className={classes.brand}>
          <Logo /> Waybill
        </Link>
        <Link
          to={routes.inbox}
          className={classes.item}
          activeOptions={{ includeSearch: false }}
          activeProps={{ className: classes.active, 'aria-current': 'page' }}
        >
          <IconInbox size={17} stroke={1.7} aria-hidden="true" /> <span>Inbox</span>
          <Badge count={count} />
        </Link>
        <Link
          to={routes.projects}
          className={classes.item}
          activeOptions={{ exact: true, includeSearch: false }}
          activeProps={{ className: classes.active, 'aria-current': 'page' }}
        >
          <IconLayoutGrid size={17} stroke={1.7} aria-hidden="true" /> <span>Projects</span>
        </Link>
        <Link
          to={routes.insights}
          className={classes.item}
          activeOptions={{ includeSearch: false }}
          activeProps={{ className: classes.active, 'aria-current': 'page' }}
        >
          <IconChartBar size={17} stroke={1.7} aria-hidden="true" /> <span>Insights</span>
        </Link>
        {seesClusters && (
          <Link
            to={routes.clusters}
            className={classes.item}
            activeOptions={{ includeSearch: false }}
            activeProps={{ className: classes.active, 'aria-current': 'page' }}
          >
            <IconServer2 size={17} stroke={1.7} aria-hidden="true" /> <span>Clusters</span>
          </Link>
        )}
        {recent.length > 0 && (
          <>
            <h2 className={classes.heading} id="recent">
              Recent
            </h2>
            <ul aria-labelledby="recent">
              {recent.map((name) => (
                <li key={name}>
                  <Link
                    to={routes.pipeline}
                    params={{ project: name }}
                    className={classes.item}
                    activeOptions={{ includeSearch: false }}
                    activeProps={{ className: classes.active, 'aria-current': 'page' }}
                    title={name}
                  >
                    <IconSitemap size={16} stroke={1.7} aria-hidden="true" /> <span>{name}</span>
                  </Link>
                </li>
              ))}
            </ul>
          </>
        )}
        <div className={classes.foot}>
          <AccountMenu wide />
        </div>
      </nav>
      <main className={classes.main} id="main" tabIndex={-1}>
        {children}
      </main>
      <nav className={classes.bar} aria-label="Main">
        <Link
          to={routes.inbox}
          className={classes.tab}
          activeOptions={{ includeSearch: false }}
          activeProps={{ className: classes.tabActive, 'aria-current': 'page' }}
        >
          <span className={classes.tabIcon}>
            <IconInbox size={20} stroke={1.7} aria-hidden="true" />
            <Badge count={count} />
          </span>
          Inbox
        </Link>
        <Link
          to={routes.projects}
          className={classes.tab}
          activeOptions={{ includeSearch: false }}
          activeProps={{ className: classes.tabActive, 'aria-current': 'page' }}
        >
          <IconLayoutGrid size={20} stroke={1.7} aria-hidden="true" /> Projects
        </Link>
        <Link
          to={routes.insights}
          className={classes.tab}
          activeOptions={{ includeSearch: false }}
          activeProps={{ className: classes.tabActive, 'aria-current': 'page' }}
        >
          <IconChartBar size={20} stroke={1.7} aria-hidden="true" /> Insights
        </Link>
        {seesClusters && (
          <Link
            to={routes.clusters}
            className={classes.tab}
            activeOptions={{ includeSearch: false }}
            activeProps={{ className: classes.tabActive, 'aria-current': 'page' }}
          >
            <IconServer2 size={20} stroke={1.7} aria-hidden="true" /> Clusters
          </Link>
        )}
        <AccountMenu />
      </nav>
    </div>
  );
}

/** How much waits in the inbox; nothing is drawn for nothing. */
function Badge({ count }: { count: number }) {
  if (count === 0) return null;
  return (
    <span className={classes.badge} data-badge={count}>
      {count > 99 ? '99+' : count}
      <span className="visuallyHidden"> to do</span>
    </span>
  );
}

interface AccountMenuProps {
  wide?: boolean;
}

/** Who is signed in, the colour scheme, the password, and the way out. */
function AccountMenu({ wide = false }: AccountMenuProps) {
  const { data: session } = useSession();
  const signOut = useSignOut();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [isChanging, setChanging] = useState(false);
  const name = session?.name ?? '';
  const schemes = [
    { value: 'auto', label: 'As the system', icon: IconDeviceDesktop },
    { value: 'light', label: 'Light', icon: IconSun },
    { value: 'dark', label: 'Dark', icon: IconMoon },
  ] as const;
  const menu = (
    <Menu position="top-start" width={208}>
      <Menu.Target>
        {wide ? (
          <UnstyledButton className={classes.user}>
            <Avatar name={name} />
            <span className={classes.who}>
              <span className="visuallyHidden">Account of </span>
              <strong>{name}</strong>
              <small>{session?.groups?.join(', ')}</small>
            </span>
            <IconSelector size={15} stroke={1.7} aria-hidden="true" />
          </UnstyledButton>
        ) : (
          <UnstyledButton className={classes.tab}>
            <IconUser size={20} stroke={1.7} aria-hidden="true" />
            <span>
              Account<span className="visuallyHidden"> of {name}</span>
            </span>
          </UnstyledButton>
        )}
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Colours</Menu.Label>
        <Menu.RadioGroup value={colorScheme} onChange={(value) => setColorScheme(value as MantineColorScheme)}>
          {schemes.map(({ value, label, icon: Icon }) => (
            <Menu.RadioItem
              key={value}
              value={value}
              closeMenuOnClick
              rightSection={<Icon size={15} stroke={1.7} aria-hidden="true" />}
            >
              {label}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        <Menu.Divider />
        {session?.hasPassword && (
          <Menu.Item
            leftSection={<IconKey size={15} stroke={1.7} aria-hidden="true" />}
            onClick={() => setChanging(true)}
          >
            Change password…
          </Menu.Item>
        )}
        <Menu.Item leftSection={<IconLogout size={15} stroke={1.7} aria-hidden="true" />} onClick={signOut}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
  return (
    <>
      {menu}
      {isChanging && (
        <Suspense>
          <PasswordDialog user={name} onClose={() => setChanging(false)} />
        </Suspense>
      )}
    </>
  );
}
