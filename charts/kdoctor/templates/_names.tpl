{{/* Release "kdoctor" gives "kdoctor", any other one "<release>-kdoctor"; short enough for the longest suffix, "-agent-ipv4". */}}
{{- define "kdoctor.fullname" -}}
{{- if eq .Release.Name .Chart.Name -}}
{{- .Chart.Name -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 43 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "kdoctor.agent" -}}{{ include "kdoctor.fullname" . }}-agent{{- end -}}
{{- define "kdoctor.controller" -}}{{ include "kdoctor.fullname" . }}-controller{{- end -}}

{{- define "kdoctor.limits" -}}{{ include "kdoctor.fullname" . }}-limits{{- end -}}

{{/* The labels that select pods: they may never change. Call with (dict "root" . "component" "kdoctor-agent"). */}}
{{- define "kdoctor.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "kdoctor.labels" -}}
{{ include "kdoctor.selector" . }}
app.kubernetes.io/part-of: kdoctor
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kdoctor.agentLabels" -}}{{ include "kdoctor.labels" (dict "root" . "component" "kdoctor-agent") }}{{- end -}}
{{- define "kdoctor.agentSelector" -}}{{ include "kdoctor.selector" (dict "root" . "component" "kdoctor-agent") }}{{- end -}}
{{- define "kdoctor.controllerLabels" -}}{{ include "kdoctor.labels" (dict "root" . "component" "kdoctor-controller") }}{{- end -}}
{{- define "kdoctor.controllerSelector" -}}{{ include "kdoctor.selector" (dict "root" . "component" "kdoctor-controller") }}{{- end -}}
