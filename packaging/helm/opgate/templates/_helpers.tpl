{{- define "opgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 55 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "opgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "opgate.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "opgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "opgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "opgate.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* The key of a policy file: a key of a ConfigMap has no slash. Two paths never have the same key. */}}
{{- define "opgate.policyKey" -}}
{{ regexReplaceAll "[^-._a-zA-Z0-9]" . "_" | trunc 200 }}.{{ sha256sum . | trunc 12 }}
{{- end }}

{{- define "opgate.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.policiesVolume }}{{ $_ := set $config "policy" (merge (dict "directory" "/var/lib/opgate/policies") ($config.policy | default dict)) }}{{ end }}
{{- toYaml $config }}
{{- end }}
