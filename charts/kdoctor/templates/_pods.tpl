{{/*
What the pods of both programs have in common. Call these with (dict "root" . "of" .Values.agent).

The ids go with openshift.enabled: the cluster gives each namespace a range of its own. runAsNonRoot stays, whatever is set.
*/}}
{{- define "kdoctor.podSecurityContext" -}}
{{- $ids := ternary (list "runAsUser" "runAsGroup" "fsGroup") list .root.Values.openshift.enabled -}}
{{- $context := dict -}}
{{- range $key, $value := .of.podSecurityContext -}}
{{- if not (or (has $key $ids) (kindIs "invalid" $value)) -}}
{{- $_ := set $context $key $value -}}
{{- end -}}
{{- end -}}
{{- /* The groups of a user namespace are few: the kernel would refuse the range. */ -}}
{{- if and (kindIs "bool" .of.hostUsers) (not .of.hostUsers) -}}
{{- $context = omit $context "sysctls" -}}
{{- end -}}
{{- if not $context.fsGroup -}}
{{- $context = omit $context "fsGroupChangePolicy" -}}
{{- end -}}
{{- toYaml (set $context "runAsNonRoot" true) -}}
{{- end -}}

{{- define "kdoctor.securityContext" -}}
{{- $ids := ternary (list "runAsUser" "runAsGroup") list .root.Values.openshift.enabled -}}
{{- $context := dict -}}
{{- range $key, $value := .of.securityContext -}}
{{- if not (or (has $key $ids) (kindIs "invalid" $value)) -}}
{{- $_ := set $context $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml (set $context "runAsNonRoot" true) -}}
{{- end -}}

{{/* The fields of a pod that say where its images come from and how it runs. */}}
{{- define "kdoctor.podFields" -}}
{{- $secrets := list -}}
{{- range concat (.root.Values.imagePullSecrets | default list) ((.root.Values.global | default dict).imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
enableServiceLinks: false
{{- with $secrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- if kindIs "bool" .of.hostUsers }}
hostUsers: {{ .of.hostUsers }}
{{- end }}
{{- with .of.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .of.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "kdoctor.podSecurityContext" . | nindent 2 }}
{{- end -}}

{{/* The labels that keep the proxies of service meshes out of a pod, and the annotations of those that read annotations. */}}
{{- define "kdoctor.meshLabels" -}}
{{- if .meshOptOut -}}
sidecar.istio.io/inject: "false"
istio.io/dataplane-mode: none
kuma.io/sidecar-injection: disabled
{{- end -}}
{{- end -}}
{{- define "kdoctor.meshAnnotations" -}}
{{- if .meshOptOut -}}
sidecar.istio.io/inject: "false"
linkerd.io/inject: disabled
kuma.io/sidecar-injection: disabled
consul.hashicorp.com/connect-inject: "false"
{{- end -}}
{{- end -}}

{{/*
The labels of a pod, of the component "component". What the values set stands above what keeps meshes out, and below the chart's own. Of the annotations
those in "own" stand above the values', and those in "weak" below.
*/}}
{{- define "kdoctor.podLabels" -}}
{{- $more := list (include "kdoctor.meshLabels" .of | fromYaml) .of.podLabels -}}
{{- include "kdoctor.labels" (dict "root" .root "component" .component "more" $more) -}}
{{- end -}}
{{- define "kdoctor.podAnnotations" -}}
{{- include "kdoctor.tables" (list .weak (include "kdoctor.meshAnnotations" .of | fromYaml) .of.podAnnotations .own) -}}
{{- end -}}

{{/* Where and with which priority a pod runs; call with the program's values. */}}
{{- define "kdoctor.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with include "kdoctor.tables" (list .nodeSelector) }}
nodeSelector:
  {{- . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
An image, by its digest where one is given. Its registry is that of global.imageRegistry, or else the image's own, or else the one that the repository
begins with: a first part with a dot or a port, as container runtimes read it.
*/}}
{{- define "kdoctor.image" -}}
{{- $repository := .image.repository -}}
{{- with (.root.Values.global | default dict).imageRegistry | default .image.registry -}}
{{- . | trimSuffix "/" }}/{{- $repository = regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "" -}}
{{- end -}}
{{- $repository -}}
{{- if .image.digest -}}
{{- with .image.tag }}:{{ include "kdoctor.scalar" . | regexFind "^[^@]*" }}{{- end -}}
@{{ .image.digest }}
{{- else -}}
:{{ include "kdoctor.scalar" (.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* A probe of the pod's health port: its path, and the times of the values; nothing where these are null. */}}
{{- define "kdoctor.probe" -}}
{{- if .times -}}
{{ .name }}:
  httpGet: {path: {{ .path }}, port: health}
  {{- range $field, $value := .times }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $field }}: {{ int $value }}
  {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Set where reports lie on a volume that one node at a time can use. */}}
{{- define "kdoctor.oneNodeVolume" -}}
{{- with .Values.controller.reports.persistence -}}
{{- if and .enabled (not (has "ReadWriteMany" .accessModes)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* How many controllers there are. */}}
{{- define "kdoctor.replicas" -}}
{{- $asked := .Values.controller.replicas -}}
{{- $one := include "kdoctor.oneNodeVolume" . -}}
{{- if kindIs "invalid" $asked -}}
{{- ternary 1 2 (not (not $one)) -}}
{{- else if and $one (gt (int $asked) 1) -}}
{{- fail (printf "controller.replicas is %d, but reports lie on a volume that one node at a time can use; keep them in an object store (controller.reports.url), use a volume with the access mode ReadWriteMany, or leave replicas empty" (int $asked)) -}}
{{- else -}}
{{- int $asked -}}
{{- end -}}
{{- end -}}

{{/* Where controllers run: on different nodes where there are several, and no longer than some seconds on a dead one. */}}
{{- define "kdoctor.controllerPlacement" -}}
{{- $values := deepCopy .Values.controller -}}
{{- if not .Values.controller.affinity -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "kdoctor.controllerSelector" . | fromYaml)) -}}
{{- $apart := dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term)) -}}
{{- /* In a node's own network two controllers would listen on the same ports. */ -}}
{{- if .Values.controller.hostNetwork -}}
{{- $apart = dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term) -}}
{{- end -}}
{{- $_ := set $values "affinity" (dict "podAntiAffinity" $apart) -}}
{{- end -}}
{{- if not (kindIs "invalid" .Values.controller.tolerationSeconds) -}}
{{- $tolerations := .Values.controller.tolerations | default list -}}
{{- range $key := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" -}}
{{- $tolerations = append $tolerations (dict "key" $key "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $.Values.controller.tolerationSeconds)) -}}
{{- end -}}
{{- $_ := set $values "tolerations" $tolerations -}}
{{- end -}}
{{- include "kdoctor.placement" $values -}}
{{- end -}}
