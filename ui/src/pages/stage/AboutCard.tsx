import type { Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { ExternalLink } from '../../components/ExternalLink';
import { imageVersion, shortRepo } from '../../lib/freight';
import classes from './StagePage.module.css';

export interface AboutCardProps {
  stage: Stage;
}

/** Where the Stage runs, what writes it, and where its Freight comes from. */
export function AboutCard({ stage }: AboutCardProps) {
  return (
    <Card title="About this stage">
      <dl className={classes.about}>
        {stage.destinations.map((app) => (
          <Pair key={app.name} name={stage.destinations.length > 1 ? app.name : 'Runs in'}>
            {app.cluster}, namespace {app.namespace}
          </Pair>
        ))}
        {stage.branches?.map((branch) => (
          <Pair key={`${branch.repoURL} ${branch.writeBranch}`} name="Branch">
            {branch.writeBranch} in <ExternalLink href={branch.repoURL}>{shortRepo(branch.repoURL)}</ExternalLink>
          </Pair>
        ))}
        <Pair name="Promotes">
          {stage.auto ? 'by itself' : 'by hand'}
          {stage.upstream.length > 0 ? `, after ${stage.upstream.join(', ')}` : ', straight from the Warehouse'}
        </Pair>
        {stage.freight?.images.map((image) => (
          <Pair key={image.repoURL} name={shortRepo(image.repoURL)}>
            <span className="mono" title={image.digest}>
              {imageVersion(image)} {image.digest.slice(0, 'sha256:'.length + 12)}
            </span>
          </Pair>
        ))}
        {stage.freight?.commit && (
          <Pair name="Commit">
            <code title={stage.freight.commit}>{stage.freight.commit.slice(0, 12)}</code>
          </Pair>
        )}
      </dl>
    </Card>
  );
}

function Pair({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
