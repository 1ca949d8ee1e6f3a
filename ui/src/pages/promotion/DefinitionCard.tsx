import { useQuery } from '@tanstack/react-query';
import { definitionOptions } from '../../api/queries';
import { Card } from '../../components/Card';
import { CopyBlock } from '../../components/CopyBlock';
import { ErrorState } from '../../components/ErrorState';
import { Skeleton } from '../../components/Skeleton';
import { toYAML } from '../../lib/yaml';
import classes from './PromotionPage.module.css';

export interface DefinitionCardProps {
  project: string;
  kind: string;
  name: string;
}

/** An object as Kubernetes has it, when the page was opened. */
export function DefinitionCard({ project, kind, name }: DefinitionCardProps) {
  const query = useQuery(definitionOptions(project, kind, name));
  return (
    <Card title={name} aside="as it was when you opened this tab">
      <div className={classes.panel}>
        {query.isError ? (
          <ErrorState error={query.error} what="The definition" onRetry={() => query.refetch()} />
        ) : query.data ? (
          <CopyBlock label="Manifest" text={toYAML(query.data)} />
        ) : (
          <div aria-busy="true">
            <Skeleton height={320} />
          </div>
        )}
      </div>
    </Card>
  );
}
