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

{{/* The port of the admin address. The kubelet asks there, from outside the pod. */}}
{{- define "opgate.adminPort" -}}
{{- $address := dig "admin" "address" "127.0.0.1:9901" .Values.config }}
{{- if regexMatch "^(127\\.|\\[::1\\])" $address }}
{{- fail (printf "config.admin.address is %s, and the kubelet asks from outside the pod: write 0.0.0.0 or [::]" $address) }}
{{- end }}
{{- last (splitList ":" $address) }}
{{- end }}

{{/* Whole seconds of a duration as the gate's configuration has it. */}}
{{- define "opgate.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit | default 1) }}{{ end }}
{{- end }}

{{/* Values that do not go together. */}}
{{- define "opgate.check" -}}
{{- $ports := list }}
{{- range .Values.config.listeners }}
{{- if not (hasPrefix "unix:" .address) }}{{ $ports = append $ports (last (splitList ":" .address)) }}{{ end }}
{{- end }}
{{- if not (has (toString (int .Values.service.targetPort)) $ports) }}
{{- fail (printf "service.targetPort is %d, and no listener of config.listeners has that port" (int .Values.service.targetPort)) }}
{{- end }}
{{- $limits := .Values.config.limits | default dict }}
{{- $drain := include "opgate.seconds" (get $limits "drain_delay" | default "0s") | int }}
{{- $grace := include "opgate.seconds" (get $limits "grace_period" | default "30s") | int }}
{{- $needed := add (int .Values.preStopSeconds) $drain $grace }}
{{- if le (int .Values.terminationGracePeriodSeconds) $needed }}
{{- fail (printf "terminationGracePeriodSeconds has to be more than %d: preStopSeconds, config.limits.drain_delay and config.limits.grace_period together" $needed) }}
{{- end }}
{{- end }}
