import { UnstyledButton } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { useState } from 'react';
import type { FileChange } from '../api/types';
import { wordDiff } from '../lib/words';
import classes from './DiffView.module.css';

export interface DiffViewProps {
  files: FileChange[];
}

/** What a commit changes: per file the fields that get another value, the differing words marked. */
export function DiffView({ files }: DiffViewProps) {
  return (
    <div>
      {files.map((file, i) => (
        <File key={`${file.repoURL} ${file.path}`} file={file} isOpenAtFirst={i < 3} />
      ))}
    </div>
  );
}

function File({ file, isOpenAtFirst }: { file: FileChange; isOpenAtFirst: boolean }) {
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  const removed = file.scalars.filter((scalar) => scalar.before !== undefined).length;
  const Chevron = isOpen ? IconChevronDown : IconChevronRight;
  return (
    <section className={classes.file} aria-label={file.path}>
      <UnstyledButton className={classes.head} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Chevron size={15} stroke={1.8} aria-hidden="true" />
        <span className={classes.path} title={`${file.path} in ${file.repoURL}`}>
          {file.path}
        </span>
        <span className={classes.counts}>
          <span className={classes.plus}>+{file.scalars.length}</span>
          <span className={classes.minus}>−{removed}</span>
        </span>
      </UnstyledButton>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1)
        <section className={classes.lines} tabIndex={0} aria-label={`Changes in ${file.path}`}>
          <div className={classes.table}>
            {file.scalars.map((scalar) => (
              <Scalar key={scalar.field} field={scalar.field} before={scalar.before} after={scalar.after} />
            ))}
          </div>
        </section>
      )}
    </section>
  );
}

function Scalar({ field, before, after }: { field: string; before: string | undefined; after: string }) {
  const words = wordDiff(before ?? '', after);
  const mark = (text: string) => (text === '' ? null : <mark>{text}</mark>);
  return (
    <>
      <div className={classes.field}>{field}</div>
      {before !== undefined && (
        <div className={`${classes.line} ${classes.removed}`}>
          <span>
            −<span className="visuallyHidden"> before: </span>
          </span>
          <span>
            {words.start}
            {mark(words.before)}
            {words.end}
          </span>
        </div>
      )}
      <div className={`${classes.line} ${classes.added}`}>
        <span>
          +<span className="visuallyHidden"> after: </span>
        </span>
        <span>
          {words.start}
          {mark(words.after)}
          {words.end}
        </span>
      </div>
    </>
  );
}
