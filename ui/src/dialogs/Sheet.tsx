import { CloseButton, Drawer } from '@mantine/core';
import type { ReactNode } from 'react';
import { usePhone } from '../lib/phone';
import classes from './Sheet.module.css';

export interface SheetProps {
  title: string;
  /** Beside the title: a status. */
  badge?: ReactNode;
  /** At the right of the head. */
  aside?: ReactNode;
  /** What is chosen. */
  left: ReactNode;
  /** What the choice means. */
  right: ReactNode;
  foot: ReactNode;
  onClose: () => void;
}

/** A decision with its consequences in view: from the right over the page, the whole screen on a phone. */
export function Sheet({ title, badge, aside, left, right, foot, onClose }: SheetProps) {
  const isPhone = usePhone();
  return (
    <Drawer.Root
      opened
      onClose={onClose}
      position="right"
      size={isPhone ? '100%' : 1080}
      lockScroll={false}
      transitionProps={{ duration: 0 }}
    >
      <Drawer.Overlay />
      <Drawer.Content>
        <div className={classes.sheet}>
          <div className={classes.head}>
            <Drawer.Title className={classes.title} tabIndex={-1} data-autofocus>
              {title}
            </Drawer.Title>
            {badge}
            <span className={classes.aside}>{aside}</span>
            <CloseButton aria-label="Close" onClick={onClose} />
          </div>
          <div className={classes.body}>
            <div className={classes.left}>{left}</div>
            <div className={classes.right}>{right}</div>
          </div>
          <div className={classes.foot}>{foot}</div>
        </div>
      </Drawer.Content>
    </Drawer.Root>
  );
}
