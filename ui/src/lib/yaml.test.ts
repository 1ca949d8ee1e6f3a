import { describe, expect, it } from 'vitest';
import { toYAML } from './yaml';

describe('toYAML', () => {
  it('writes what kubectl would', () =>
    expect(
      toYAML({
        apiVersion: 'waybill.dev/v1alpha1',
        metadata: { name: 'prod.1.abc', labels: {}, finalizers: [] },
        spec: { steps: [{ uses: 'git-push', config: { path: './out' } }, { uses: 'x' }], replicas: 3, on: true },
        status: { message: 'a: b\nc', at: '2026-11-20T12:04:00Z', nothing: null, version: '1.26', no: 'no' },
      }),
    ).toBe(`apiVersion: waybill.dev/v1alpha1
metadata:
  name: prod.1.abc
  labels: {}
  finalizers: []
spec:
  steps:
  - uses: git-push
    config:
      path: "./out"
  - uses: x
  replicas: 3
  "on": true
status:
  message: |-
    a: b
    c
  at: "2026-11-20T12:04:00Z"
  nothing: null
  version: "1.26"
  "no": "no"
`));
  it.each([
    ['', '""\n'],
    ['a # b', '"a # b"\n'],
    ['registry.example.com/app', 'registry.example.com/app\n'],
    ['- x', '"- x"\n'],
    ['null', '"null"\n'],
  ])('quotes %j where it has to', (text, want) => expect(toYAML(text)).toBe(want));
});
