import { Button } from '@mantine/core';
import { useEffect, useState } from 'react';
import classes from './CopyBlock.module.css';

export interface CopyBlockProps {
  text: string;
  /** What the text is, for screen readers: "Command", "Manifest". */
  label: string;
}

/** Text to run or apply elsewhere, with a button that copies it. */
export function CopyBlock({ text, label }: CopyBlockProps) {
  const [outcome, setOutcome] = useState<'copied' | 'refused' | undefined>();
  useEffect(() => {
    if (!outcome) return;
    const timer = setTimeout(() => setOutcome(undefined), 2000);
    return () => clearTimeout(timer);
  }, [outcome]);

  const copy = () => {
    // the clipboard exists on secure origins only; elsewhere the text can still be selected
    const done = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
    done.then(
      () => setOutcome('copied'),
      () => setOutcome('refused'),
    );
  };

  return (
    <div className={classes.block}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1) */}
      <section className={classes.scroll} tabIndex={0} aria-label={label}>
        <pre className={classes.text}>{text}</pre>
      </section>
      <Button className={classes.button} size="xs" onClick={copy} aria-label={`Copy ${label.toLowerCase()}`}>
        {outcome === 'copied' ? 'Copied' : outcome === 'refused' ? 'Select it' : 'Copy'}
      </Button>
    </div>
  );
}
