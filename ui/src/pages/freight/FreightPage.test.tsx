import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Freight, Pipeline } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const base = '/api/v1/projects/checkout';

function find(version: string, model: Pipeline = fixtures.pipeline): Freight {
  const freight = model.freight.find((each) => each.version === version);
  if (!freight) throw new Error(`the fixture has no ${version}`);
  return freight;
}

function address(freight: Freight) {
  return { page: `/projects/checkout/freight/${freight.name}`, call: `GET ${base}/freight/${freight.name}` };
}

describe('freight page', () => {
  const current = find('2.14.0');

  it('loading: the shape of what is coming', async () => {
    const { page, call } = address(current);
    renderApp(page, ({ answers }) => {
      answers.set(call, never());
      answers.set(`GET ${base}/pipeline`, never());
    });
    expect(await screen.findByLabelText('Loading the Freight')).toBeInTheDocument();
  });

  it('error: a Freight that is not there', async () => {
    renderApp('/projects/checkout/freight/9.9.9', ({ answers }) =>
      answers.set(`GET ${base}/freight/9.9.9`, problem(404, 'not-found', 'there is no Freight 9.9.9')),
    );
    expect(await screen.findByText(/The Freight 9.9.9/)).toBeVisible();
  });

  it('full: what is in it, where it is, how it was verified, what stops it', async () => {
    const model = structuredClone(fixtures.pipeline);
    const freight = find('2.14.0', model);
    const [first] = freight.images;
    const place = freight.stages.find((each) => each.current);
    if (!first || !place) throw new Error('2.14.0 of the fixture runs nowhere');
    Object.assign(place, {
      checks: 'Failed',
      checksMessage: 'check "errors" failed: 0.0314',
      longestSoakSeconds: 7200,
    });
    freight.signatures = [{ repoURL: first.repoURL, reason: 'SignatureMissing', message: 'nobody signed it' }];
    const { page, call } = address(freight);
    const { container } = renderApp(page, ({ answers }) => {
      answers.set(call, { status: 200, body: freight });
      answers.set(`GET ${base}/pipeline`, { status: 200, body: model });
    });
    expect(await screen.findByRole('heading', { name: '2.14.0', level: 1 })).toBeVisible();
    const stages = screen.getByRole('list', { name: 'Stages' });
    const row = stages.querySelector<HTMLElement>(`[data-place="${place.stage}"]`);
    if (!row) throw new Error(`no row of ${place.stage}`);
    expect(row.dataset.state).toBe('runs here');
    expect(within(row).getByText('check "errors" failed: 0.0314')).toBeVisible();
    expect(within(row).getByText('2h')).toBeVisible();
    const artifacts = screen.getByRole('list', { name: 'Artifacts' });
    expect(within(artifacts).getByText(/Enters no Stage: nobody signed it \(SignatureMissing\)/)).toBeVisible();
    expect(within(artifacts).getByText(`${first.repoURL}@${first.digest}`)).toBeVisible();
    await expectAccessible(container);
  });

  it('names every closed gate of a Stage it is not in, and opens the whole verdict', async () => {
    const newest = find('2.15.0');
    const { page, call } = address(newest);
    const { history } = renderApp(page, ({ answers }) => answers.set(call, { status: 200, body: newest }));
    const verdict = fixtures.pipeline.verdicts.find((each) => each.freight === newest.name && each.closed.length > 0);
    if (!verdict) throw new Error('nothing stops 2.15.0 in the fixture');
    const stages = await screen.findByRole('list', { name: 'Stages' });
    const row = stages.querySelector<HTMLElement>(`[data-place="${verdict.stage}"]`);
    expect(row?.querySelectorAll('[data-gate]')).toHaveLength(verdict.closed.length);
    await userEvent.click(screen.getByRole('button', { name: `All gates of ${verdict.stage}` }));
    expect(await screen.findByRole('dialog')).toBeVisible();
    expect(history.location.search).toContain(`why=${verdict.stage}`);
  });

  it('rejected: by whom and why, and the way to take it back', async () => {
    const rejected = fixtures.pipeline.freight.find((each) => each.rejections.length > 0);
    if (!rejected) throw new Error('nothing is rejected in the fixture');
    const { page, call } = address(rejected);
    renderApp(page, ({ answers }) => answers.set(call, { status: 200, body: rejected }));
    const list = await screen.findByRole('list', { name: 'Rejections' });
    expect(within(list).getByText(rejected.rejections[0]?.reason ?? '-')).toBeVisible();
  });

  it('older than what the pipeline shows: as the server has it', async () => {
    const old: Freight = { ...structuredClone(current), name: 'f'.repeat(40), version: '1.0.0', stages: [] };
    const { page, call } = address(old);
    renderApp(page, ({ answers }) => answers.set(call, { status: 200, body: old }));
    expect(await screen.findByRole('heading', { name: '1.0.0', level: 1 })).toBeVisible();
    expect(screen.getByText(/It is in no Stage/)).toBeVisible();
  });

  it('is reached from the rail', async () => {
    const { history } = renderApp('/projects/checkout', ({ answers }) =>
      answers.set(address(current).call, { status: 200, body: current }),
    );
    await userEvent.click(await screen.findByRole('link', { name: 'Everything about 2.14.0' }));
    expect(await screen.findByRole('heading', { name: '2.14.0', level: 1 })).toBeVisible();
    expect(history.location.pathname).toBe(`/projects/checkout/freight/${current.name}`);
  });
});
