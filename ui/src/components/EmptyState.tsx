import { IconPackages } from '@tabler/icons-react';
import { CopyBlock } from './CopyBlock';
import classes from './states.module.css';

/** The list of projects while there is none: what a project is, one manifest, one command. */
export function EmptyProjects() {
  return (
    <div className={classes.state}>
      <h2>
        <IconPackages size={20} stroke={1.7} aria-hidden="true" /> No projects yet
      </h2>
      <p>
        A project is the home of one pipeline: a Warehouse that watches a registry, and Stages that its versions pass
        through. This page fills itself as soon as there is one.
      </p>
      <p>Save this as project.yaml:</p>
      <CopyBlock label="Manifest" text={projectYAML} />
      <p>and apply it:</p>
      <CopyBlock label="Command" text="waybill apply -f project.yaml" />
    </div>
  );
}

export interface EmptyProjectProps {
  project: string;
}

/** A project that has neither Warehouse nor Stage. */
export function EmptyProject({ project }: EmptyProjectProps) {
  return (
    <div className={classes.state}>
      <h2>
        <IconPackages size={20} stroke={1.7} aria-hidden="true" /> {project} is empty
      </h2>
      <p>It needs a Warehouse that watches your images, and at least one Stage. Save this as pipeline.yaml:</p>
      <CopyBlock label="Manifest" text={pipelineYAML(project)} />
      <p>and apply it:</p>
      <CopyBlock label="Command" text="waybill apply -f pipeline.yaml" />
    </div>
  );
}

const projectYAML = `apiVersion: waybill.dev/v1alpha1
kind: Project
metadata:
  name: guestbook
`;

function pipelineYAML(project: string): string {
  return `apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: ${project}, namespace: ${project}}
spec:
  interval: 1m
  subscriptions:
  - image: {repoURL: registry.example.com/${project}, constraint: ^1.0.0}
---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: test, namespace: ${project}}
spec:
  requestedFreight:
  - origin: {kind: Warehouse, name: ${project}}
    sources: {direct: true}
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: https://git.example.com/${project}.git
      readBranch: main
      writeBranch: stage/test
      kustomize:
        images: [{image: registry.example.com/${project}, path: stages/test}]
  deploy:
  - destination: {cluster: in-cluster, namespace: ${project}-test}
    source: {path: stages/test}
    syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`;
}
