import classes from './StatusIcon.module.css';
import { statusLooks, statusWord } from './status';

export interface StatusIconProps {
  status: string;
  /** Edge in pixels. */
  size?: number;
  /** Said to screen readers; leave it out where the word stands beside the icon. */
  label?: string;
}

/** The icon of a status word. */
export function StatusIcon({ status, size = 15, label }: StatusIconProps) {
  const word = statusWord(status);
  const { icon: Icon, color } = statusLooks[word];
  return (
    <Icon
      size={size}
      stroke={1.9}
      color={color}
      className={word === 'Progressing' ? `${classes.icon} ${classes.turning}` : classes.icon}
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': true })}
    />
  );
}
