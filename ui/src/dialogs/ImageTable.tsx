import type { Image, ImageChange } from '../api/types';
import { imageVersion, shortRepo } from '../lib/freight';
import classes from './Sheet.module.css';

export interface ImageTableProps {
  images: ImageChange[];
  /** Without a box of its own, inside a card. */
  isPlain?: boolean;
}

/** Each image's version now and afterwards; a digest is named when the tag stays the same. */
export function ImageTable({ images, isPlain = false }: ImageTableProps) {
  return (
    <div className={isPlain ? undefined : classes.box}>
      <table className={classes.table}>
        <thead className="visuallyHidden">
          <tr>
            <th scope="col">Image</th>
            <th scope="col">Change</th>
          </tr>
        </thead>
        <tbody>
          {images.map((image) => (
            <tr key={image.repoURL}>
              <th scope="row" title={image.repoURL}>
                {shortRepo(image.repoURL)}
              </th>
              <td className="mono">
                <Change image={image} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Change({ image: { before, after, change } }: { image: ImageChange }) {
  if (change === 'unchanged') return <span className={classes.was}>{after ? imageVersion(after) : ''} unchanged</span>;
  if (change === 'removed') return <span className={classes.was}>{before ? imageVersion(before) : ''} removed</span>;
  const isSameTag = before && after && before.tag === after.tag;
  const name = (image: Image) => (isSameTag ? `${image.tag ?? ''}@${shortDigest(image.digest)}` : imageVersion(image));
  return (
    <>
      {before && (
        <span className={classes.was} title={before.digest}>
          {name(before)} →{' '}
        </span>
      )}
      <span className={classes.becomes} title={after?.digest}>
        {after ? name(after) : ''}
      </span>
      {change === 'added' && <span className={classes.was}> new</span>}
    </>
  );
}

function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}
