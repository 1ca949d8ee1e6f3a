import classes from './Status.module.css';
import { StatusIcon } from './StatusIcon';
import { statusWord } from './status';

export interface StatusProps {
  status: string;
  /** A tinted pill, for headings. */
  pill?: boolean;
}

/** A status as icon, word and colour together: never by colour alone. */
export function Status({ status, pill = false }: StatusProps) {
  const word = statusWord(status);
  return (
    <span className={[classes.word, classes[word], pill ? classes.pill : ''].join(' ')} data-status={word}>
      <StatusIcon status={word} />
      {word}
    </span>
  );
}

/** The class that sets --st, the colour of a status, for edges and tints. */
export function statusClass(status: string): string {
  return classes[statusWord(status)] ?? '';
}
