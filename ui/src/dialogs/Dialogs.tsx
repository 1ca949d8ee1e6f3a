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
  if (!stage) return null;
  if (search.promote) return <PromoteDialog key={stage.name} pipeline={pipeline} stage={stage} freight={search.with} />;
  if (search.rollback) return <RollbackDialog key={stage.name} pipeline={pipeline} stage={stage} to={search.with} />;
  if (search.with) return <WhyDialog pipeline={pipeline} stage={stage} freight={search.with} />;
  return null;
}
