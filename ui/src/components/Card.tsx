import { type ReactNode, useId } from 'react';
import classes from './Card.module.css';

export interface CardProps {
  title: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
}

/** A titled box; a region of its own for screen readers. */
export function Card({ title, aside, children }: CardProps) {
  const id = useId();
  return (
    <section className={classes.card} aria-labelledby={id}>
      <div className={classes.head}>
        <h2 className={classes.title} id={id}>
          {title}
        </h2>
        {aside !== undefined && <div className={classes.aside}>{aside}</div>}
      </div>
      <div className={classes.body}>{children}</div>
    </section>
  );
}
