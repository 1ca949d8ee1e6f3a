import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { versionOf } from '../../lib/freight';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const get = 'GET /api/v1/projects/checkout/pipeline';
const list = '/projects/checkout?view=list';
const newest = fixtures.pipeline.freight.find((each) => versionOf(each) === '2.14.0');

function card(stage: string) {
  return screen.findByRole('article', { name: new RegExp(`^Stage ${stage},`) });
}

describe('pipeline page', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp(list, ({ answers }) => answers.set(get, never()));
    expect(await screen.findByLabelText('Loading the pipeline')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('empty: what the project needs, as YAML and as a command', async () => {
    const body = {
      ...fixtures.pipeline,
      warehouses: [],
      stages: [],
      edges: [],
      freight: [],
      verdicts: [],
      activity: [],
    };
    const { container } = renderApp(list, ({ answers }) => answers.set(get, { status: 200, body }));
    expect(await screen.findByText('checkout is empty')).toBeVisible();
    expect(screen.getByText(/writeBranch: stage\/test/)).toBeVisible();
    expect(screen.getByText('waybill apply -f pipeline.yaml')).toBeVisible();
    await expectAccessible(container);
  });

  it('error: hidden and missing read alike', async () => {
    const { container } = renderApp(list, ({ answers }) =>
      answers.set(get, problem(404, 'not-found', 'there is no project "checkout", or you may not see it')),
    );
    expect(await screen.findByText('The project checkout does not exist, or you may not see it')).toBeVisible();
    await expectAccessible(container);
  });

  it('full: every Stage with its word, version and gates', async () => {
    const { container } = renderApp(list);
    const prod = await card('prod-us');
    expect(within(prod).getByText('Drifted')).toBeVisible();
    expect(within(prod).getByText('2.13.4')).toBeVisible();
    expect(within(prod).getByText('held')).toBeVisible();
    expect(within(prod).getByText('2 behind')).toBeVisible();
    expect(screen.getByRole('button', { name: 'Gates into prod-us: soak until 14:30Z' })).toBeVisible();
    expect(screen.getByRole('list', { name: 'Freight, newest first' }).children).toHaveLength(6);
    await expectAccessible(container);
  });

  it('offers the next Freight on a manual Stage that is well', async () => {
    const model = structuredClone(fixtures.pipeline);
    for (const stage of model.stages) {
      if (stage.name === 'prod-eu') stage.status = { word: 'Healthy', sentence: 'runs 2.13.4' };
    }
    const { history } = renderApp(list, ({ answers }) => answers.set(get, { status: 200, body: model }));
    await userEvent.click(within(await card('prod-eu')).getByRole('button', { name: 'Promote…' }));
    expect(history.location.search).toContain(`promote=prod-eu&with=${newest?.name}`);
    expect(within(await card('staging')).queryByRole('button', { name: 'Promote…' })).toBeNull();
  });

  it('is a matrix of every Freight and Stage, too', async () => {
    const { container, history } = renderApp('/projects/checkout?view=matrix');
    const table = within(await screen.findByRole('region', { name: 'Pipeline matrix' })).getByRole('table');
    expect(within(table).getAllByRole('columnheader')).toHaveLength(6);
    expect(within(table).getAllByRole('rowheader')).toHaveLength(6);
    const cell = (name: string) => table.querySelector<HTMLElement>(`[data-cell="${name}"]`) as HTMLElement;
    expect(within(cell('staging 2.14.0')).getByText('Healthy')).toBeVisible();
    expect(within(cell('prod-us 2.14.0')).getByText('not verified in "prod-eu"')).toBeVisible();
    await expectAccessible(container);
    await userEvent.click(within(cell('prod-us 2.14.0')).getByRole('button'));
    await waitFor(() => expect(history.location.search).toContain('why=prod-us'));
  });

  it('follows the stream without another call', async () => {
    const { network } = renderApp(list);
    await card('test');
    await screen.findByText('Live');
    await waitFor(() => expect(network.calls()).toContain('GET /api/v1/me/permissions?project=checkout'));
    const before = network.calls();
    const model = structuredClone(fixtures.pipeline);
    for (const stage of model.stages) {
      if (stage.name === 'test') {
        stage.status = { word: 'Failed', sentence: 'Deployment/checkout-api: CrashLoopBackOff' };
        if (stage.freight) stage.freight.version = '2.16.0';
      }
    }
    network.send('pipeline:checkout', model, 101);
    const test = await card('test');
    await waitFor(() => expect(within(test).getByText('Failed')).toBeVisible());
    expect(within(test).getByText('2.16.0')).toBeVisible();
    expect(network.calls()).toEqual(before);
  });

  it('says when it is not live, and comes back from where it was', async () => {
    const { network } = renderApp(list);
    await card('test');
    await screen.findByText('Live');
    network.send('pipeline:checkout', fixtures.pipeline, 140);
    network.hangUp();
    expect(await screen.findByText(/Reconnecting, showing \d\d:\d\d/)).toBeVisible();
    expect(await screen.findByText('Live', undefined, { timeout: 3000 })).toBeVisible();
    const streams = network.recorded.filter(({ call }) => call.includes('/events'));
    expect(streams.map(({ headers }) => headers['last-event-id'])).toEqual(['100', '140']);
  });

  it('shows the reason when the project goes away', async () => {
    const { network } = renderApp(list);
    await card('test');
    await screen.findByText('Live');
    network.answers.set(get, problem(404, 'not-found', 'there is no project "checkout"'));
    network.write('id: 141\nevent: gone\ndata: pipeline:checkout\n\n');
    expect(await screen.findByText('The project checkout does not exist, or you may not see it')).toBeVisible();
  });

  it('turns the feet of the cards into verdicts about the selected Freight', async () => {
    const { history } = renderApp(list);
    await card('test');
    const rail = screen.getByRole('list', { name: 'Freight, newest first' });
    await userEvent.click(within(rail).getByRole('button', { name: /2\.14\.0/ }));
    expect(history.location.search).toContain(`freight=${newest?.name}`);
    expect(within(await card('staging')).getByText('runs here')).toBeVisible();
    expect(within(await card('prod-us')).getByText('not verified in "prod-eu"')).toBeVisible();
    expect(within(await card('prod-us')).getByText('+3')).toBeVisible();
    expect(within(await card('test')).getByText('can go here')).toBeVisible();
    await userEvent.keyboard('{Escape}');
    await waitFor(() => expect(history.location.search).not.toContain('freight='));
  });

  it('goes to sign in when the session ends, and remembers where one was', async () => {
    const { history } = renderApp(list, ({ answers }) =>
      answers.set(get, problem(401, 'not-signed-in', 'nobody is signed in')),
    );
    await screen.findByRole('heading', { name: 'Sign in' });
    expect(decodeURIComponent(history.location.search)).toContain('/projects/checkout');
  });
});
