import { useLayoutEffect } from 'react';
import type { Pipeline } from '../api/types';
import type { DialogSearch } from '../lib/search';
import { PromoteDialog } from './PromoteDialog';
import { RollbackDialog } from './RollbackDialog';
import { WhyDialog } from './WhyDialog';

export interface DialogsProps {
  pipeline: Pipeline;
  search: DialogSearch;
}

/** The dialog the address asks for, if its Stage exists. */
export function Dialogs({ pipeline, search }: DialogsProps) {
  const stage = pipeline.stages.find((each) => each.name === (search.promote ?? search.rollback ?? search.why));
  useReturnFocus(stage !== undefined);
  if (!stage) return null;
  if (search.promote)
    return (
      <PromoteDialog
        key={stage.name}
        pipeline={pipeline}
        stage={stage}
        freight={search.with ?? stage.next?.freight.name}
      />
    );
  if (search.rollback) return <RollbackDialog key={stage.name} pipeline={pipeline} stage={stage} to={search.with} />;
  if (search.with)
    return <WhyDialog pipeline={pipeline} stage={stage} freight={search.with ?? stage.next?.freight.name} />;
  return null;
}

/** Gives the focus back to what opened a dialog; when that is gone, to the page. */
function useReturnFocus(isOpen: boolean): void {
  useLayoutEffect(() => {
    if (!isOpen) return;
    const opener = document.activeElement;
    return () => {
      const target = opener instanceof HTMLElement && opener.isConnected ? opener : document.getElementById('main');
      target?.focus({ preventScroll: true });
    };
  }, [isOpen]);
}
