import { IconAlertTriangleFilled, IconCheck } from '@tabler/icons-react';
import type { Freight, FreightSignature } from '../../api/types';
import { Card } from '../../components/Card';
import { ExternalLink } from '../../components/ExternalLink';
import { imageVersion, shortRepo } from '../../lib/freight';
import classes from './FreightPage.module.css';

export interface ContentsCardProps {
  freight: Freight;
}

/** The images, commits and charts of a Freight, and whether what has to be signed is. */
export function ContentsCard({ freight }: ContentsCardProps) {
  return (
    <Card title="What is in it">
      <ul className={classes.rows} aria-label="Artifacts">
        {freight.images.map((image) => (
          <li key={image.repoURL} data-image={image.repoURL}>
            <div className={classes.head}>
              <span className={classes.stage} title={image.repoURL}>
                {shortRepo(image.repoURL)}
              </span>
              <span>{imageVersion(image)}</span>
            </div>
            <p className={classes.mono}>
              {image.repoURL}@{image.digest}
            </p>
            <Signature of={freight.signatures?.find((each) => each.repoURL === image.repoURL)} />
          </li>
        ))}
        {freight.commits?.map((commit) => (
          <li key={commit.repoURL} data-commit={commit.repoURL}>
            <div className={classes.head}>
              <span className={classes.stage}>
                <ExternalLink href={commit.repoURL}>{shortRepo(commit.repoURL)}</ExternalLink>
              </span>
              <span>{commit.tag || commit.branch}</span>
            </div>
            <p className={classes.mono}>{commit.id}</p>
            {commit.message && <p className={classes.muted}>{commit.message}</p>}
          </li>
        ))}
        {freight.charts?.map((chart) => (
          <li key={`${chart.repoURL} ${chart.name}`} data-chart={chart.name}>
            <div className={classes.head}>
              <span className={classes.stage}>{chart.name || shortRepo(chart.repoURL)}</span>
              <span>{chart.version}</span>
            </div>
            <p className={classes.mono}>{chart.repoURL}</p>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Signature({ of: signature }: { of: FreightSignature | undefined }) {
  if (!signature) return null;
  const isSigned = signature.verifiedAt !== undefined;
  return (
    <p className={classes.gate} data-signed={isSigned}>
      {isSigned ? (
        <IconCheck size={14} className={classes.good} aria-hidden="true" />
      ) : (
        <IconAlertTriangleFilled size={14} className={classes.bad} aria-hidden="true" />
      )}
      <span>
        {isSigned ? 'Signed as its Warehouse asks for' : `Enters no Stage: ${signature.message}`}
        {signature.reason && ` (${signature.reason})`}
      </span>
    </p>
  );
}
