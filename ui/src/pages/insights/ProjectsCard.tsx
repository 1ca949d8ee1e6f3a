import { Link } from '@tanstack/react-router';
import type { Insights, InsightsReport } from '../../api/types';
import { Card } from '../../components/Card';
import type { InsightsSearch } from '../../lib/search';
import { span } from '../../lib/time';
import { routes } from '../../paths';
import classes from './InsightsPage.module.css';
import { inWords, measures } from './measures';

export interface ProjectsCardProps {
  projects: InsightsReport['projects'];
  search: InsightsSearch;
}

interface Column {
  title: string;
  words: (of: Insights) => string;
  isKnown: (of: Insights) => boolean;
}

const columns = measures.flatMap((measure): Column[] => {
  const column = {
    title: measure.title,
    words: (of: Insights) => inWords(measure, of),
    isKnown: (of: Insights) => measure.amount(of) !== undefined,
  };
  if (measure.id !== 'lead') return [column];
  const words = (of: Insights) => (column.isKnown(of) ? span(of.leadTime.p90Seconds) : 'not known');
  return [column, { title: '9 of 10 within', words, isKnown: column.isKnown }];
});

/** The same measures of each Project. */
export function ProjectsCard({ projects, search }: ProjectsCardProps) {
  return (
    <Card title="Projects" aside={projects.length}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1) */}
      <section className={classes.scroll} tabIndex={0} aria-label="Measures of each Project">
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">Project</th>
              {columns.map(({ title }) => (
                <th key={title} scope="col">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {projects.map(({ project, insights }) => (
              <tr key={project} data-project={project}>
                <th scope="row">
                  <Link to={routes.insights} search={{ project, range: search.range }} className={classes.strong}>
                    {project}
                  </Link>
                </th>
                <Cells insights={insights} />
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </Card>
  );
}

function Cells({ insights }: { insights: Insights }) {
  if (insights.deploys === 0) {
    return (
      <td colSpan={columns.length} className={classes.none}>
        {insights.stages.length === 0 ? 'it has no Stage' : 'no deploy is recorded in this time'}
      </td>
    );
  }
  return columns.map(({ title, words, isKnown }) => (
    <td key={title} className={isKnown(insights) ? undefined : classes.none}>
      {words(insights)}
    </td>
  ));
}
