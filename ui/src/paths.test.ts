import { expect, it } from 'vitest';
import { api, routes, topics } from './paths';

it('spells every address', () => {
  const [p, s, f] = ['a b', 's/1', 'f&x'];
  expect({
    routes,
    topics: [topics.projects(), topics.pipeline(p)],
    api: [
      api.login(),
      api.logout(),
      api.me(),
      api.permissions(p),
      api.version(),
      api.projects(),
      api.pipeline(p),
      api.stage(p, s),
      api.plan(p, s, f),
      api.why(p, s, f),
      api.promote(p, s),
      api.rollback(p, s),
      api.rollback(p, s, f),
      api.hold(p, s),
      api.resume(p, s),
      api.freezes(p),
      api.freeze(p, f),
      api.refresh(p, s),
      api.events(['projects', 'pipeline:a']),
    ],
  }).toMatchInlineSnapshot(`
    {
      "api": [
        "/api/v1/login",
        "/api/v1/logout",
        "/api/v1/me",
        "/api/v1/me/permissions?project=a%20b",
        "/version",
        "/api/v1/projects",
        "/api/v1/projects/a%20b/pipeline",
        "/api/v1/projects/a%20b/stages/s%2F1",
        "/api/v1/projects/a%20b/stages/s%2F1/plan?freight=f%26x",
        "/api/v1/projects/a%20b/stages/s%2F1/why?freight=f%26x",
        "/api/v1/projects/a%20b/stages/s%2F1/promotions",
        "/api/v1/projects/a%20b/stages/s%2F1/rollback",
        "/api/v1/projects/a%20b/stages/s%2F1/rollback?to=f%26x",
        "/api/v1/projects/a%20b/stages/s%2F1/hold",
        "/api/v1/projects/a%20b/stages/s%2F1/resume",
        "/api/v1/projects/a%20b/freezes",
        "/api/v1/projects/a%20b/freezes/f%26x",
        "/api/v1/projects/a%20b/warehouses/s%2F1/refresh",
        "/api/v1/events?topics=projects,pipeline%3Aa",
      ],
      "routes": {
        "login": "/login",
        "pipeline": "/projects/$project",
        "projects": "/projects",
        "stage": "/projects/$project/stages/$stage",
      },
      "topics": [
        "projects",
        "pipeline:a b",
      ],
    }
  `);
});
