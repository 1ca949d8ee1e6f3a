import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { InsightsReport } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const get = 'GET /api/v1/insights?range=30d';
const getProject = `${get}&project=checkout`;

function changed(change: (report: InsightsReport) => void, of = fixtures.insights) {
  const report = structuredClone(of);
  change(report);
  return { status: 200, body: report };
}

const none = { count: 0, medianSeconds: 0, p90Seconds: 0, longestSeconds: 0 };
const nothing = {
  deploys: 0,
  perWeek: 0,
  judged: 0,
  failed: 0,
  failurePercent: 0,
  restored: none,
  unrestored: 0,
  leadTime: none,
  leadTimeFrom: undefined,
  rework: 0,
  reworkPercent: 0,
};

async function tile(title: string) {
  const tiles = await screen.findByRole('list', { name: 'Measures' });
  const found = within(tiles)
    .getAllByRole('listitem')
    .find((each) => within(each).queryByRole('heading', { name: title }));
  if (!found) throw new Error(`there is no tile ${title}`);
  return found;
}

describe('insights', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp('/insights', ({ answers }) => answers.set(get, never()));
    expect(await screen.findByLabelText('Loading the insights')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('error: why, with the request id, and the filters stay', async () => {
    const { network } = renderApp('/insights?project=checkout&stage=gone', ({ answers }) =>
      answers.set(`${getProject}&stage=gone`, problem(404, 'not-found', 'project "checkout" has no Stage "gone"')),
    );
    expect(await screen.findByText('req-7')).toBeVisible();
    const stage = await screen.findByRole('combobox', { name: 'Stage' });
    expect(stage).toHaveValue('gone');
    await within(stage).findByRole('option', { name: 'prod-eu' });
    network.answers.set(`${getProject}&stage=prod-eu`, { status: 200, body: fixtures.insightsProject });
    await userEvent.selectOptions(stage, 'prod-eu');
    expect(await screen.findByRole('list', { name: 'Measures' })).toBeVisible();
  });

  it('full: how much, beside the time before, and whether that is better', async () => {
    const { container } = renderApp('/insights');
    expect(await tile('Deploys')).toHaveTextContent('8.9 a week');
    expect(await tile('Deploys')).toHaveTextContent('+6.1, better30 days before: 2.8 a week');
    const lead = await tile('Lead time');
    expect(lead).toHaveTextContent('1d 1h from Freight');
    expect(lead).toHaveTextContent('half took less, 9 of 10 at most 2d 3h');
    expect(lead).toHaveTextContent(', worse');
    expect(await tile('Failure rate')).toHaveTextContent('10.5 %4 of 38 that ended well or badly');
    expect(await tile('Failure rate')).toHaveTextContent('+2.2 points, worse');
    expect(await tile('Restored in')).toHaveTextContent('the longest 6h 25m; 1 not yet');
    expect(await tile('Restored in')).toHaveTextContent('−34m 00s, better');
    expect(screen.getByText(/^Deploys into catalog\/prod, checkout\/prod-apac and 21 more/)).toBeVisible();
    await expectAccessible(container);
  });

  it('says where the time goes, and where most can be won', async () => {
    renderApp('/insights');
    const parts = within(await screen.findByRole('list', { name: 'Parts of the way' })).getAllByRole('listitem');
    expect(parts.map((part) => within(part).getByRole('heading').textContent)).toEqual([
      'Until it is asked for',
      'Until it starts',
      'Steps',
      'Rollout and checks',
    ]);
    expect(parts[1]).toHaveTextContent('52.4 % half within 10h 40m, 9 of 10 within 1d 14h');
    expect(parts[2]).toHaveTextContent('under 0.1 %');
    expect(screen.getByText(/Most of the time, 52.4 %, passes between the request and the start/)).toBeVisible();
  });

  it('draws the days on which something was deployed, all of them in words', async () => {
    renderApp('/insights');
    const days = within(await screen.findByRole('list', { name: /^Days with deploys/ })).getAllByRole('listitem');
    const busy = fixtures.insights.days.filter((day) => day.deploys > 0);
    expect(days.map((day) => Number(day.dataset.deploys))).toEqual(busy.map((day) => day.deploys));
    expect(days.at(-1)).toHaveTextContent('20 Nov: 3 deployed, 1 failed');
    const names = [...document.querySelectorAll('[class*="tick"]')].map((each) => each.textContent);
    expect(names).toEqual(['21 Oct', '26 Oct', '31 Oct', '5 Nov', '10 Nov', '15 Nov']);
    expect(days[0]).toHaveTextContent(/^22 Oct: 2 deployed$/);
    expect(screen.getByRole('region', { name: 'Deploys a day' })).toHaveTextContent('deploys 38 failed 4');
  });

  it('tells what failed, why, and what restored it, each with its promotion', async () => {
    renderApp('/insights');
    const list = await screen.findByRole('list', { name: 'Failed deploys, newest first' });
    const [first, second, third] = within(list).getAllByRole('listitem');
    if (!first || !second || !third) throw new Error('three failed');
    expect(within(first).getByRole('link', { name: 'checkout 2.14.0' })).toHaveAttribute(
      'href',
      '/projects/checkout/promotions/prod-us-000011',
    );
    expect(first).toHaveTextContent('Error rate 2.4 %, taken back by "prod-us-000012".');
    expect(within(first).getByRole('link', { name: 'rollback, in 42m 00s' })).toHaveAttribute(
      'href',
      '/projects/checkout/promotions/prod-us-000012',
    );
    expect(second).toHaveTextContent('Not restored yet');
    expect(within(third).getByRole('link', { name: 'promotion, in 6h 25m' })).toBeVisible();
  });

  it('shows many failures when asked, and says which are left out', async () => {
    renderApp('/insights', ({ answers }) =>
      answers.set(
        get,
        changed((report) => {
          const [failure] = report.failures;
          if (!failure) throw new Error('the fixture has no failure');
          report.failures = Array.from({ length: 50 }, (_, i) => ({
            ...failure,
            promotion: `p-${i}`,
            cause: undefined,
          }));
          report.total.failed = 63;
        }),
      ),
    );
    const list = await screen.findByRole('list', { name: 'Failed deploys, newest first' });
    expect(within(list).getAllByRole('listitem')).toHaveLength(5);
    expect(within(list).getAllByText('Nobody recorded why.')).toHaveLength(5);
    await userEvent.click(screen.getByRole('button', { name: 'Show all 50' }));
    expect(within(list).getAllByRole('listitem')).toHaveLength(50);
    expect(screen.getByText('13 older ones are left out.')).toBeVisible();
  });

  it('has a row for each Project, which leads to its own', async () => {
    const { history } = renderApp('/insights');
    const table = within(await screen.findByRole('region', { name: 'Measures of each Project' }));
    const rows = table.getAllByRole('row').slice(1);
    expect(rows).toHaveLength(fixtures.insights.projects.length);
    const words = Object.fromEntries(
      rows.map((row) => [
        within(row).getByRole('rowheader').textContent,
        within(row)
          .getAllByRole('cell')
          .map((cell) => cell.textContent),
      ]),
    );
    expect(words['edge-router']).toEqual(['no deploy is recorded in this time']);
    expect(words.notifications?.slice(1)).toEqual(['not known', 'not known', '100 %', 'not yet', '0 %']);
    expect(words.catalog?.[4]).toBe('nothing failed');
    await userEvent.click(table.getByRole('link', { name: 'checkout' }));
    expect(await tile('Deploys')).toHaveTextContent('2.8 a week');
    expect(history.location.href).toBe('/insights?project=checkout');
    expect(screen.queryByRole('region', { name: 'Measures of each Project' })).toBeNull();
    expect(screen.getByRole('navigation', { name: 'Breadcrumb' })).toHaveTextContent('ProjectscheckoutInsights');
    expect(screen.getByText(/^Deploys into prod-apac, prod-eu, prod-us,/)).toBeVisible();
  });

  it('keeps what is chosen in the address', async () => {
    const { history, network } = renderApp('/insights', ({ answers }) => {
      answers.set('GET /api/v1/insights?range=90d&project=checkout', { status: 200, body: fixtures.insightsProject });
      answers.set(`${getProject}&stage=test`, { status: 200, body: fixtures.insightsProject });
    });
    const project = await screen.findByRole('combobox', { name: 'Project' });
    expect(screen.queryByRole('combobox', { name: 'Stage' })).toBeNull();
    await within(project).findByRole('option', { name: 'checkout' });
    await userEvent.selectOptions(project, 'checkout');
    const stage = await screen.findByRole('combobox', { name: 'Stage' });
    await userEvent.selectOptions(stage, 'test');
    expect(history.location.href).toBe('/insights?project=checkout&stage=test');
    await userEvent.selectOptions(stage, 'Last Stages');
    const range = (name: string) => screen.getByRole('link', { name });
    expect(range('30 days')).toHaveAttribute('aria-current', 'page');
    await userEvent.click(range('90 days'));
    expect(history.location.href).toBe('/insights?project=checkout&range=90d');
    expect(range('90 days')).toHaveAttribute('aria-current', 'page');
    expect(range('30 days')).not.toHaveAttribute('aria-current');
    expect(await tile('Deploys')).toHaveTextContent('90 days before');
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Project' }), 'All Projects');
    expect(history.location.href).toBe('/insights?range=90d');
    expect(network.calls()).toContain(`${getProject}&stage=test`);
  });

  it('drops from the address what it cannot ask for', async () => {
    const { network } = renderApp('/insights?stage=prod-eu&range=1y');
    await tile('Deploys');
    expect(network.calls().filter((call) => call.includes('/insights'))).toEqual([get]);
  });

  it('says in words what is not known, and why some may be missing', async () => {
    const { container } = renderApp('/insights', ({ answers }) =>
      answers.set(
        get,
        changed((report) => {
          Object.assign(report.total, nothing, { deploys: 2, perWeek: 0.5 });
          report.before = undefined;
          report.parts = [];
          report.failures = [];
          report.warning = 'the history store does not answer: only what the cluster still has is counted';
        }),
      ),
    );
    expect(await screen.findByText(/^The history store does not answer: .* counted\.$/)).toBeVisible();
    expect(await tile('Deploys')).toHaveTextContent('0.5 a week');
    for (const title of ['Lead time', 'Failure rate', 'Restored in']) {
      const words = (await tile(title)).textContent;
      expect(words).toContain('not known');
      expect(words).toMatch(/30 days before: not known$/);
      expect(words?.replace('30 days', '')).not.toContain('0');
    }
    expect(screen.getByText(/^Not known: no new Freight became Healthy/)).toBeVisible();
    expect(screen.getByText(/^Not known: no deploy ended/)).toBeVisible();
    expect(container.querySelector('[data-trend]')).toBeNull();
  });

  it('still compares when nothing was deployed but before', async () => {
    renderApp('/insights', ({ answers }) =>
      answers.set(
        get,
        changed((report) => {
          Object.assign(report.total, nothing);
          Object.assign(report, { parts: [], failures: [] });
        }),
      ),
    );
    expect(await tile('Deploys')).toHaveTextContent('none known');
    expect(await tile('Deploys')).toHaveTextContent('30 days before: 2.8 a week');
    expect(screen.getByText('No promotion that was pushed is recorded in this time.')).toBeVisible();
  });

  it('empty: says what to do', async () => {
    const { container, history } = renderApp('/insights?project=checkout', ({ answers }) => {
      const empty = changed((report) => {
        Object.assign(report.total, nothing);
        if (report.before) Object.assign(report.before, nothing);
        Object.assign(report, { parts: [], failures: [] });
      }, fixtures.insightsProject);
      answers.set(getProject, empty);
      answers.set('GET /api/v1/insights?range=90d&project=checkout', empty);
    });
    expect(await screen.findByRole('heading', { name: 'Nothing was deployed in 30 days' })).toBeVisible();
    expect(screen.getByText(/nor in the 30 before/)).toBeVisible();
    expect(screen.getByText('waybill promote latest checkout/prod-apac')).toBeVisible();
    expect(screen.queryByRole('list', { name: 'Measures' })).toBeNull();
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('link', { name: 'the last 90 days' }));
    expect(await screen.findByRole('heading', { name: 'Nothing was deployed in 90 days' })).toBeVisible();
    expect(history.location.href).toBe('/insights?project=checkout&range=90d');
    expect(screen.queryByRole('link', { name: 'the last 90 days' })).toBeNull();
  });

  it('without a Project, or without a Stage: how to make one', async () => {
    const { network, history } = renderApp('/insights', ({ answers }) =>
      answers.set(
        get,
        changed((report) => {
          report.projects = [];
          report.total.stages = [];
        }),
      ),
    );
    expect(await screen.findByText('No projects yet')).toBeVisible();
    network.answers.set(
      getProject,
      changed((report) => {
        report.total.stages = [];
      }, fixtures.insightsProject),
    );
    history.push('/insights?project=checkout');
    expect(await screen.findByText('checkout is empty')).toBeVisible();
  });

  it('is a step from everywhere, and from a pipeline with its Project', async () => {
    renderApp('/projects/checkout');
    expect(await screen.findByRole('link', { name: 'Insights of checkout' })).toHaveAttribute(
      'href',
      '/insights?project=checkout',
    );
    expect(await screen.findByRole('link', { name: 'More insights' })).toHaveAttribute(
      'href',
      '/insights?project=checkout',
    );
    const [item] = screen.getAllByRole('link', { name: 'Insights' });
    if (!item) throw new Error('the navigation has no Insights');
    await userEvent.click(item);
    expect(await tile('Deploys')).toBeVisible();
    for (const each of screen.getAllByRole('link', { name: 'Insights' })) {
      expect(each).toHaveAttribute('aria-current', 'page');
    }
  });
});
