{{- define "cxr-triage.fullname" -}}
{{- if contains "cxr-triage" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-cxr-triage" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of this release, all of them or of one component. */}}
{{- define "cxr-triage.selector" -}}
app.kubernetes.io/name: cxr-triage
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "cxr-triage.labels" -}}
{{ include "cxr-triage.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* The processes that this release has, by component, as YAML. */}}
{{- define "cxr-triage.processes" -}}
{{- $all := .Files.Get "files/processes.yaml" | fromYaml -}}
{{- if not .Values.reports.enabled }}{{ $all = omit $all "reports" }}{{ end -}}
{{- if not .Values.workGpu.enabled }}{{ $all = omit $all "work-gpu" }}{{ end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "cxr-triage.replicas" -}}
{{- $values := index .root.Values .of.key -}}
{{- if hasKey $values "replicas" }}{{ $values.replicas }}{{ else }}1{{ end -}}
{{- end -}}

{{- define "cxr-triage.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "cxr-triage.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-data" (include "cxr-triage.fullname" .)) -}}
{{- end -}}
