import { UnstyledButton } from '@mantine/core';
import type { Edge } from '../api/types';
import { GateIcon } from './GateIcon';
import classes from './GatePill.module.css';

export interface GatePillProps {
  edge: Edge;
  /** Further edges into the same Stage. */
  others?: number;
  /** Opens the list of all gates; without it the pill is only text. */
  onWhy?: () => void;
}

/** What guards the way into a Stage for the Freight that comes next, as the server words it. */
export function GatePill({ edge, others = 0, onWhy }: GatePillProps) {
  const gate = edge.gate ?? { gate: 'upstream' as const, open: edge.open };
  const content = (
    <>
      <GateIcon gate={{ ...gate, open: edge.open }} size={13} />
      <span className={classes.text}>{edge.label}</span>
      {others > 0 && <span className={classes.more}>+{others}</span>}
    </>
  );
  if (!onWhy) return <span className={classes.pill}>{content}</span>;
  return (
    <UnstyledButton
      className={`${classes.pill} nodrag nopan`}
      onClick={onWhy}
      title={edge.gate?.reason ?? edge.label}
      aria-label={`Gates into ${edge.to}: ${edge.label}`}
      data-open={edge.open}
    >
      {content}
    </UnstyledButton>
  );
}
