{{/*
How names begin: fullnameOverride, or the release's name where it is the chart's, or else "<release>-<chart>". It is short enough for the longest
suffix that the chart and the controller append, "-agent-ipv4".
*/}}
{{- define "kdoctor.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if eq .Release.Name $name -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc (int (sub 50 (len $name))) | trimSuffix "-") $name -}}
{{- end -}}
{{- end -}}

{{- define "kdoctor.agent" -}}{{ include "kdoctor.fullname" . }}-agent{{- end -}}
{{- define "kdoctor.hostAgent" -}}{{ include "kdoctor.fullname" . }}-host{{- end -}}
{{- define "kdoctor.controller" -}}{{ include "kdoctor.fullname" . }}-controller{{- end -}}

{{- define "kdoctor.limits" -}}{{ include "kdoctor.fullname" . }}-limits{{- end -}}

{{/* The names of the service accounts, which may be made by others. */}}
{{- define "kdoctor.agentAccount" -}}
{{- with .Values.agent.serviceAccount -}}
{{- .name | default (ternary (include "kdoctor.agent" $) "default" .create) -}}
{{- end -}}
{{- end -}}
{{- define "kdoctor.controllerAccount" -}}
{{- with .Values.controller.serviceAccount -}}
{{- .name | default (ternary (include "kdoctor.controller" $) "default" .create) -}}
{{- end -}}
{{- end -}}

{{/* The labels that select pods: they may never change. Call with (dict "root" . "component" "kdoctor-agent"). */}}
{{- define "kdoctor.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of an object. Those of the values (commonLabels, and the list of tables "more") never replace the chart's own. */}}
{{- define "kdoctor.labels" -}}
{{- $own := include "kdoctor.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "kdoctor" -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- include "kdoctor.tables" (append (concat (list .root.Values.commonLabels) (.more | default list)) $own) -}}
{{- end -}}

{{- define "kdoctor.agentLabels" -}}{{ include "kdoctor.labels" (dict "root" . "component" "kdoctor-agent") }}{{- end -}}
{{- define "kdoctor.agentSelector" -}}{{ include "kdoctor.selector" (dict "root" . "component" "kdoctor-agent") }}{{- end -}}
{{- define "kdoctor.controllerLabels" -}}{{ include "kdoctor.labels" (dict "root" . "component" "kdoctor-controller") }}{{- end -}}
{{- define "kdoctor.controllerSelector" -}}{{ include "kdoctor.selector" (dict "root" . "component" "kdoctor-controller") }}{{- end -}}

{{/* A command that makes a first task, with what follows its metadata. */}}
{{- define "kdoctor.firstTask" -}}
echo '{"apiVersion": "kdoctor.io/v1beta1", "kind": "NetReach", "metadata": {"name": "first"}{{ . }}}' | kubectl apply -f -
{{- end -}}
