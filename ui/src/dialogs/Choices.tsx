import { Button } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import classes from './Sheet.module.css';

export interface ChoicesProps {
  legend: string;
  /** How many there are, and whether one of them is chosen. */
  count: number;
  isChosen: boolean;
  children: ReactNode;
}

/** Radio cards. A phone shows the chosen one only, so that its consequences are in view, and unfolds on demand. */
export function Choices({ legend, count, isChosen, children }: ChoicesProps) {
  const [isOpen, setOpen] = useState(false);
  const isFolded = isChosen && !isOpen && count > 1;
  return (
    <fieldset className={`${classes.choices} ${classes.field} ${isFolded ? classes.folded : ''}`}>
      <legend className={classes.label}>{legend}</legend>
      {children}
      {isFolded && (
        <Button className={classes.more} onClick={() => setOpen(true)}>
          {count - 1} other{count > 2 ? 's' : ''}
        </Button>
      )}
    </fieldset>
  );
}
