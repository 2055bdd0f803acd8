{{- define "grafana.fullname" -}}
{{- $whole := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{ .Values.fullnameOverride | default $whole }}
{{- end -}}

{{- define "grafana.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end -}}

{{- define "grafana.selector" -}}
app.kubernetes.io/name: grafana
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "grafana.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "grafana.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Given, or what the Secret holds already, or a new one. */ -}}
{{- define "grafana.password" -}}
{{- $there := lookup "v1" "Secret" (include "grafana.namespace" .) (include "grafana.fullname" .) -}}
{{- if .Values.adminPassword -}}{{ .Values.adminPassword | b64enc }}
{{- else if $there -}}{{ index $there.data "admin-password" }}
{{- else -}}{{ randAlphaNum 40 | b64enc }}
{{- end -}}
{{- end -}}

{{- define "grafana.image" -}}
{{ .registry }}/{{ .repository }}:{{ .tag }}
{{- end -}}

{{- define "grafana.admin" -}}
{{- $secret := .root.Values.admin.existingSecret | default (include "grafana.fullname" .root) -}}
{{- $own := not .root.Values.admin.existingSecret -}}
- name: {{ .user }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $own | ternary "admin-user" .root.Values.admin.userKey }}}}
- name: {{ .password }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $own | ternary "admin-password" .root.Values.admin.passwordKey }}}}
{{- end -}}
