import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, problem, renderApp } from '../test/app';
import { expectAccessible } from '../test/axe';

const base = '/api/v1/projects/checkout';
const page = '/projects/checkout?view=list';
const all = { ...fixtures.pipeline.freezes?.[0], name: 'freeze-all', stage: '*', reason: 'audit' };

describe('freeze dialog', () => {
  it('freezes one Stage with a reason and an end', async () => {
    const { container, network } = renderApp(`${page}&freeze=prod-eu`, ({ answers }) =>
      answers.set(`POST ${base}/freezes`, { status: 201, body: fixtures.pipeline.freezes?.[0] }),
    );
    const dialog = await screen.findByRole('dialog', { name: 'Freeze prod-eu' });
    expect(await within(dialog).findByText('It needs a reason.')).toBeVisible();
    await expectAccessible(container);
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'audit');
    await userEvent.selectOptions(within(dialog).getByRole('combobox', { name: 'Until' }), 'In 1 hour');
    const before = Date.now();
    await userEvent.click(within(dialog).getByRole('button', { name: 'Freeze' }));
    expect(await screen.findByText('prod-eu is frozen.')).toBeVisible();
    const body = network.recorded.find(({ call }) => call.startsWith('POST'))?.body as { until: string };
    expect(body).toMatchObject({ stage: 'prod-eu', reason: 'audit' });
    expect(Math.abs(Date.parse(body.until) - before - 3_600_000)).toBeLessThan(60_000);
  });

  it('freezes the whole project from its header, without an end', async () => {
    const { network } = renderApp(page, ({ answers }) =>
      answers.set(`POST ${base}/freezes`, { status: 201, body: all }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Freeze checkout' }));
    const dialog = await screen.findByRole('dialog', { name: 'Freeze checkout' });
    expect(within(dialog).getByText('Nothing is promoted into test, staging, prod-eu and 2 more')).toBeVisible();
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'audit');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Freeze' }));
    await waitFor(() =>
      expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({
        stage: '*',
        reason: 'audit',
      }),
    );
  });

  it('says why the button cannot be pressed: no right', async () => {
    const permissions = structuredClone(fixtures.permissions);
    permissions.freezeAll = false;
    renderApp(`${page}&freeze=*`, ({ answers }) =>
      answers.set('GET /api/v1/me/permissions?project=checkout', { status: 200, body: permissions }),
    );
    expect(await screen.findByText(/You may not freeze checkout/)).toBeVisible();
    expect(screen.getByRole('button', { name: 'Freeze' })).toBeDisabled();
  });

  it('shows what the server refuses, with the request id', async () => {
    renderApp(`${page}&freeze=prod-eu`, ({ answers }) =>
      answers.set(`POST ${base}/freezes`, problem(403, 'forbidden', 'it needs the verb freeze')),
    );
    await userEvent.type(await screen.findByRole('textbox', { name: 'Reason' }), 'audit');
    await userEvent.click(screen.getByRole('button', { name: 'Freeze' }));
    expect(within(await screen.findByRole('alert')).getByText('req-7')).toBeVisible();
  });
});

describe('thaw', () => {
  it('says what may move then, and ends that freeze', async () => {
    const { container, network } = renderApp(`${page}&thaw=black-friday`, ({ answers }) =>
      answers.set(`DELETE ${base}/freezes/black-friday`, { status: 204 }),
    );
    const dialog = await screen.findByRole('dialog', { name: 'Thaw prod-apac' });
    expect(within(dialog).getByText(/Black Friday freeze/)).toBeVisible();
    expect(within(dialog).getByText('No promotion is waiting')).toBeVisible();
    await expectAccessible(container);
    await userEvent.click(within(dialog).getByRole('button', { name: 'Thaw' }));
    expect(await screen.findByText('prod-apac is thawed.')).toBeVisible();
    expect(network.calls()).toContain(`DELETE ${base}/freezes/black-friday`);
  });

  it('counts what waits behind a freeze of the whole project, which the pipeline shows', async () => {
    const model = { ...structuredClone(fixtures.pipeline), freezes: [all] };
    renderApp(page, ({ answers }) => answers.set(`GET ${base}/pipeline`, { status: 200, body: model }));
    expect(await screen.findByText('Frozen: every Stage of checkout')).toBeVisible();
    await userEvent.click(await screen.findByRole('button', { name: 'Thaw…' }));
    const dialog = await screen.findByRole('dialog', { name: 'Thaw checkout' });
    expect(within(dialog).getByText('1 promotion is waiting')).toBeVisible();
    expect(within(dialog).getByText(/2\.14\.0 into prod-eu: starts as soon as/)).toBeVisible();
  });
});

describe('hold and resume', () => {
  async function menuOf(stage: string) {
    await userEvent.click(await screen.findByRole('button', { name: `Actions for ${stage}` }));
  }

  it('holds a Stage from its menu', async () => {
    const { network } = renderApp(page, ({ answers }) =>
      answers.set(`POST ${base}/stages/staging/hold`, { status: 200, body: fixtures.pipeline.freezes?.[1] }),
    );
    await menuOf('staging');
    await userEvent.click(await screen.findByRole('menuitem', { name: 'Hold…' }));
    const dialog = await screen.findByRole('dialog', { name: 'Hold staging' });
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'load test');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Hold' }));
    expect(await screen.findByText('The automatic flow into staging is held.')).toBeVisible();
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({ reason: 'load test' });
  });

  it('resumes a held Stage from its menu, and thaws a frozen one', async () => {
    const { network, history } = renderApp(page, ({ answers }) =>
      answers.set(`POST ${base}/stages/prod-us/resume`, { status: 200, body: { items: [] } }),
    );
    await menuOf('prod-us');
    await userEvent.click(await screen.findByRole('menuitem', { name: 'Resume' }));
    expect(await screen.findByText('The automatic flow into prod-us goes on.')).toBeVisible();
    expect(network.calls()).toContain(`POST ${base}/stages/prod-us/resume`);
    await menuOf('prod-apac');
    await userEvent.click(await screen.findByRole('menuitem', { name: 'Thaw…' }));
    await waitFor(() => expect(history.location.search).toContain('thaw=black-friday'));
  });
});

describe('pause of healing', () => {
  const pause = {
    ...fixtures.pipeline.freezes?.[0],
    name: 'healing-prod-us',
    stage: 'prod-us',
    shownAs: 'healing-pause',
    scope: 'Healing',
    reason: 'a leak',
  };

  it('needs a reason and has an end, an hour if nobody says another', async () => {
    const { container, network } = renderApp(`${page}&pause=prod-us`, ({ answers }) =>
      answers.set(`POST ${base}/stages/prod-us/hold`, { status: 200, body: pause }),
    );
    const dialog = await screen.findByRole('dialog', { name: 'Pause healing of prod-us' });
    expect(within(dialog).queryByRole('option', { name: /Somebody/ })).toBeNull();
    await expectAccessible(container);
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'a leak');
    const before = Date.now();
    await userEvent.click(within(dialog).getByRole('button', { name: 'Pause healing' }));
    expect(await screen.findByText('The healing of prod-us is paused.')).toBeVisible();
    const body = network.recorded.find(({ call }) => call.startsWith('POST'))?.body as { until: string };
    expect(body).toMatchObject({ reason: 'a leak', healing: true });
    expect(Math.abs(Date.parse(body.until) - before - 3_600_000)).toBeLessThan(60_000);
  });

  it('is shown on the Stage, and ended there', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'prod-us');
    if (stage) stage.freezes = [pause as never];
    const { network } = renderApp('/projects/checkout/stages/prod-us', ({ answers }) => {
      answers.set(`GET ${base}/pipeline`, { status: 200, body: model });
      answers.set(`POST ${base}/stages/prod-us/resume?healing=true`, { status: 200, body: { items: [] } });
    });
    expect(await screen.findByText('Healing is paused')).toBeVisible();
    await userEvent.click(await screen.findByRole('button', { name: 'Heal again' }));
    expect(await screen.findByText('prod-us is healed again.')).toBeVisible();
    expect(network.calls()).toContain(`POST ${base}/stages/prod-us/resume?healing=true`);
  });
});
