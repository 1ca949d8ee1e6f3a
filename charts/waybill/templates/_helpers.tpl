{{/* Labels of everything the chart makes. */}}
{{- define "waybill.labels" -}}
{{ include "waybill.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels that select the Pods; they never change. */}}
{{- define "waybill.selector" -}}
app.kubernetes.io/name: waybill
app.kubernetes.io/component: server
{{- end }}

{{- define "waybill.image" -}}
{{- $repository := required "set image.repository to where waybilld was pushed" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* A file of manifests as it is, with the server's account in the release's namespace. */}}
{{- define "waybill.file" -}}
{{ .root.Files.Get .path | replace "namespace: waybill-system" (printf "namespace: %s" .root.Release.Namespace) }}
{{- end }}

{{/* Where people reach the dashboard; empty where nobody said so. */}}
{{- define "waybill.publicURL" -}}
{{- if .Values.server.publicURL -}}
{{ .Values.server.publicURL }}
{{- else if .Values.ingress.enabled -}}
http{{ if .Values.ingress.tlsSecretName }}s{{ end }}://{{ .Values.ingress.host }}
{{- end -}}
{{- end }}
