{{- /* Upstream cuts the name after 26 characters: the release prometheus becomes prometheus-kube-prometheus. */ -}}
{{- define "stack.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $whole | trunc 26 | trimSuffix "-" -}}
{{- end -}}

{{- define "stack.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end -}}

{{- define "stack.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.Version }}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
release: {{ .Release.Name | quote }}
heritage: {{ .Release.Service | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* An image of this chart's form; no tag means the operator's version. */ -}}
{{- define "stack.image" -}}
{{- $image := index . 0 -}}{{- $root := index . 1 -}}
{{ $root.Values.global.imageRegistry | default $image.registry }}/{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- /* What the operator takes up: everything that carries this release's label, unless the values say otherwise. */ -}}
{{- define "stack.selectors" -}}
{{- $spec := .Values.prometheus.prometheusSpec -}}
{{- $release := .Release.Name -}}
{{- range list "rule" "serviceMonitor" "podMonitor" "probe" "scrapeConfig" }}
{{- $selector := index $spec (printf "%sSelector" .) }}
{{ . }}Selector:
{{- if $selector }} {{ toYaml $selector | nindent 2 }}
{{- else if index $spec (printf "%sSelectorNilUsesHelmValues" .) }}
  matchLabels:
    release: {{ $release | quote }}
{{- else }} {}
{{- end }}
{{ . }}NamespaceSelector: {{- toYaml (index $spec (printf "%sNamespaceSelector" .)) | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "stack.security" -}}
fsGroup: 2000
runAsGroup: 2000
runAsNonRoot: true
runAsUser: 1000
seccompProfile: {type: RuntimeDefault}
{{- end -}}
