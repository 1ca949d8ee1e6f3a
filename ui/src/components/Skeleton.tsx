import type { CSSProperties } from 'react';
import classes from './states.module.css';

export interface SkeletonProps {
  width?: CSSProperties['width'];
  height: number;
}

/** A box in the shape of what is coming; it appears after 150 ms, so that a quick answer never flickers. */
export function Skeleton({ width = '100%', height }: SkeletonProps) {
  return <div className={classes.skeleton} style={{ width, height }} aria-hidden="true" />;
}
