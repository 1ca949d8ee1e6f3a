package gitops

// rank orders kinds so that what others need comes first. Objects of one rank
// are applied together; ranks follow one another without waiting for health.
// The order is that of Argo CD, grouped (namespaces, policy, identity,
// configuration, storage, definitions, access, network, workloads, the rest).
func rank(k Key) int {
	switch k.Kind {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	case "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "PriorityClass", "StorageClass", "IngressClass":
		return 2
	case "ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim":
		return 3
	case "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding":
		return 4
	case "Service":
		return 5
	case "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "Job", "CronJob":
		return 6
	case "HorizontalPodAutoscaler", "Ingress", "APIService":
		return 7
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding":
		return 9
	default:
		return 8
	}
}
