{{- define "nfs.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ .Release.Name }}-{{ .Chart.Name }}{{- end -}}
{{- end -}}

{{- define "nfs.provisioner" -}}
{{ .Values.storageClass.provisionerName | default (printf "cluster.local/%s" (include "nfs.fullname" .)) }}
{{- end -}}

{{- define "nfs.account" -}}
{{ .Values.serviceAccount.name | default (ternary (include "nfs.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{- define "nfs.labels" -}}
app: {{ .Chart.Name }}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
heritage: {{ .Release.Service }}
release: {{ .Release.Name }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
