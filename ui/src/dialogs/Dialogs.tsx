import { useLayoutEffect } from 'react';
import type { Pipeline } from '../api/types';
import { driftKey, driftsOf } from '../lib/drift';
import type { DialogSearch } from '../lib/search';
import { ReviewDrawer } from '../review/ReviewDrawer';
import { DriftDialog } from './DriftDialog';
import { PromoteDialog } from './PromoteDialog';
import { RollbackDialog } from './RollbackDialog';
import { StopDialog } from './StopDialog';
import { ThawDialog } from './ThawDialog';
import { WhyDialog } from './WhyDialog';

export interface DialogsProps {
  pipeline: Pipeline;
  search: DialogSearch;
}

/** The dialog the address asks for, if its Stage, Freeze or Promotion exists. */
export function Dialogs({ pipeline, search }: DialogsProps) {
  const dialog = dialogOf(pipeline, search);
  useReturnFocus(dialog !== null);
  return dialog;
}

function dialogOf(pipeline: Pipeline, search: DialogSearch) {
  const name = search.promote ?? search.rollback ?? search.why ?? search.freeze ?? search.hold ?? search.pause;
  const stage = pipeline.stages.find((each) => each.name === name);
  const freeze = pipeline.freezes?.find((each) => each.name === search.thaw);
  if (search.review) return <ReviewDrawer key={search.review} project={pipeline.project} promotion={search.review} />;
  const key = search.heal ?? search.accept;
  const drift =
    key && driftsOf(pipeline.stages.flatMap((each) => each.destinations)).find((each) => driftKey(each) === key);
  if (drift)
    return <DriftDialog key={key} project={pipeline.project} of={drift} kind={search.heal ? 'heal' : 'accept'} />;
  if (freeze) return <ThawDialog pipeline={pipeline} freeze={freeze} />;
  if (search.freeze && (stage || search.freeze === '*'))
    return <StopDialog key={search.freeze} pipeline={pipeline} stage={search.freeze} kind="freeze" />;
  if (!stage) return null;
  if (search.hold) return <StopDialog key={stage.name} pipeline={pipeline} stage={stage.name} kind="hold" />;
  if (search.pause) return <StopDialog key={stage.name} pipeline={pipeline} stage={stage.name} kind="healing" />;
  if (search.promote)
    return (
      <PromoteDialog
        key={stage.name}
        pipeline={pipeline}
        stage={stage}
        freight={search.with ?? stage.next?.freight.name}
        retry={search.retry}
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
