import { usePipeline } from '../../api/queries';
import type { Commit, Image, ImageChange, Promotion } from '../../api/types';
import { Card } from '../../components/Card';
import { ExternalLink } from '../../components/ExternalLink';
import { ImageTable } from '../../dialogs/ImageTable';
import { shortRepo } from '../../lib/freight';
import classes from './PromotionPage.module.css';

export interface ChangesCardProps {
  promotion: Promotion;
}

/** What a Promotion changed: the images before and after, and its commits. */
export function ChangesCard({ promotion }: ChangesCardProps) {
  const pipeline = usePipeline(promotion.project).data;
  const target = promotion.kind === 'Rollback' ? promotion.to : promotion.freight;
  const after = pipeline?.freight.find((each) => each.name === target?.name)?.images;
  const before = promotion.from?.find((each) => each.origin === promotion.freight?.origin)?.images ?? [];
  const commits = promotion.commits?.length ? promotion.commits : promotion.commit ? [promotion.commit] : [];
  return (
    <div className={classes.column}>
      <Card title="Artifacts">
        {after ? (
          <ImageTable images={pairs(before, after)} isPlain />
        ) : (
          <p className={classes.quiet}>What was in {target?.version ?? target?.name} is not listed any more.</p>
        )}
      </Card>
      <Card title={commits.length > 1 ? 'Commits' : 'Commit'}>
        {commits.map((commit) => (
          <CommitFacts key={`${commit.repoURL} ${commit.branch}`} commit={commit} />
        ))}
        {commits.length === 0 && (
          <p className={classes.quiet}>{promotion.finished ? 'It made no commit.' : 'It has made no commit yet.'}</p>
        )}
      </Card>
    </div>
  );
}

function CommitFacts({ commit }: { commit: Commit }) {
  return (
    <dl className={classes.facts}>
      <dt>Branch</dt>
      <dd>
        {commit.branch} of <ExternalLink href={commit.repoURL}>{shortRepo(commit.repoURL)}</ExternalLink>
      </dd>
      <dt>Commit</dt>
      <dd>
        <code>{commit.commit}</code>
        {commit.unchanged && ', which held this content already'}
      </dd>
      {commit.parent && (
        <>
          <dt>After</dt>
          <dd>
            <code>{commit.parent}</code>
          </dd>
        </>
      )}
    </dl>
  );
}

/** The images of two versions side by side, by repository. */
function pairs(before: Image[], after: Image[]): ImageChange[] {
  const repos = [...new Set([...before, ...after].map((image) => image.repoURL))].sort();
  return repos.map((repoURL) => {
    const old = before.find((image) => image.repoURL === repoURL);
    const now = after.find((image) => image.repoURL === repoURL);
    const isSame = old && now && old.digest === now.digest && old.tag === now.tag;
    const change = isSame ? 'unchanged' : old && now ? 'changed' : now ? 'added' : 'removed';
    return { repoURL, before: old, after: now, change };
  });
}
