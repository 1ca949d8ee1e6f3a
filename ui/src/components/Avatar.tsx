import { IconSettings } from '@tabler/icons-react';
import classes from './Avatar.module.css';

export interface AvatarProps {
  /** A user name; names that start with "waybill:" are Waybill itself and get a gear. */
  name: string;
  size?: number;
}

/** A neutral disc with initials. Decorative: the name stands beside it. */
export function Avatar({ name, size = 24 }: AvatarProps) {
  return (
    <span className={classes.avatar} aria-hidden="true" data-size={size}>
      {isWaybill(name) ? <IconSettings size={13} stroke={1.8} /> : initials(name)}
    </span>
  );
}

/** Whether Waybill did it, not a person. */
export function isWaybill(name: string): boolean {
  return name === 'waybill' || name.startsWith('waybill:') || name.startsWith('system:serviceaccount:');
}

/** At most two capital letters of a user name or mail address. */
export function initials(name: string): string {
  const words = (name.split('@')[0] ?? '').split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.length > 1 ? words.map((word) => word[0]) : [...(words[0] ?? '?')];
  return letters.slice(0, 2).join('').toUpperCase();
}
