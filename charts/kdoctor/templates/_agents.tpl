{{/*
The objects of the default agents. The controller has them as manifests, in a ConfigMap: what it makes are copies of these, and never of live objects.
*/}}
{{- define "kdoctor.agentDaemonSet" -}}
{{- with .Values.agent.ports -}}
{{- if ne 3 (list (int .http) (int .control) (int .health) | uniq | len) -}}
{{- fail "agent.ports has the same port twice; set http, control and health to ports that differ" -}}
{{- end -}}
{{- end -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ include "kdoctor.agent" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "kdoctor.agentLabels" . | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "kdoctor.agentSelector" . | nindent 6 }}
  {{- if .Values.agent.updateStrategy }}
  updateStrategy:
    {{- toYaml .Values.agent.updateStrategy | nindent 4 }}
  {{- else }}
  updateStrategy:
    type: RollingUpdate
    {{- with .Values.agent.maxUnavailable }}
    rollingUpdate:
      maxUnavailable: {{ . }}
    {{- end }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "kdoctor.podLabels" (dict "root" . "of" .Values.agent "component" "kdoctor-agent") | nindent 8 }}
      annotations:
        {{- include "kdoctor.podAnnotations" (dict "of" .Values.agent "weak" (dict "kubectl.kubernetes.io/default-container" "agent")) | nindent 8 }}
    spec:
      serviceAccountName: {{ include "kdoctor.agentAccount" . }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 15
      {{- include "kdoctor.podFields" (dict "root" . "of" .Values.agent) | nindent 6 }}
      {{- include "kdoctor.agentPlacement" . | nindent 6 }}
      containers:
        - name: agent
          image: {{ include "kdoctor.image" (dict "root" . "image" .Values.agent.image) }}
          {{- with .Values.agent.image.pullPolicy }}
          imagePullPolicy: {{ . }}
          {{- end }}
          args:
            {{- with .Values.agent.ports }}
            - --http-port={{ int .http }}
            - --control-port={{ int .control }}
            - --health-port={{ int .health }}
            {{- end }}
            - --tls-dir=/etc/kdoctor/tls
            - --installation={{ .Release.Namespace }}/{{ include "kdoctor.agent" . }}
            {{- with .Values.agent.logLevel }}
            - --log-level={{ . }}
            {{- end }}
            {{- with .Values.agent.logFormat }}
            - --log-format={{ . }}
            {{- end }}
            {{- with .Values.agent.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: POD_UID
              valueFrom: {fieldRef: {fieldPath: metadata.uid}}
            - name: NODE_NAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
            {{- with .Values.agent.extraEnv }}
            {{- include "kdoctor.env" . | nindent 12 }}
            {{- end }}
          {{- with .Values.agent.ports }}
          ports:
            - {name: http, containerPort: {{ int .http }}, protocol: TCP}
            - {name: control, containerPort: {{ int .control }}, protocol: TCP}
            - {name: health, containerPort: {{ int .health }}, protocol: TCP}
          {{- end }}
          {{- with include "kdoctor.probe" (dict "name" "readinessProbe" "path" "/readyz" "times" .Values.agent.readinessProbe) }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- with include "kdoctor.probe" (dict "name" "livenessProbe" "path" "/healthz" "times" .Values.agent.livenessProbe) }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- with include "kdoctor.resources" (.Values.agent.resources | default dict) }}
          resources:
            {{- . | nindent 12 }}
          {{- end }}
          securityContext:
            {{- include "kdoctor.securityContext" (dict "root" . "of" .Values.agent) | nindent 12 }}
          volumeMounts:
            - name: tls
              mountPath: /etc/kdoctor/tls
              readOnly: true
            {{- with .Values.agent.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        # The controller makes this Secret; until then the pod waits.
        - name: tls
          secret:
            secretName: kdoctor-agent-tls
            # Without a group of the pod's files nobody but root could read it.
            defaultMode: {{ ternary "0440" "0444" (or .Values.openshift.enabled (not (not (.Values.agent.podSecurityContext | default dict).fsGroup))) }}
        {{- with .Values.agent.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* The marks of the release on what the controller makes: with them Helm takes it over where another release of the chart has it itself. */}}
{{- define "kdoctor.marks" -}}
meta.helm.sh/release-name: {{ .Release.Name }}
meta.helm.sh/release-namespace: {{ .Release.Namespace }}
{{- end -}}

{{- define "kdoctor.agentService" -}}
{{- if eq .Values.agent.service.type "LoadBalancer" -}}
{{- fail "agent.service.type is LoadBalancer; use NodePort or ClusterIP, and agent.loadBalancer.mode: Always for load balancers that are always there" -}}
{{- end -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "kdoctor.agent" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "kdoctor.agentLabels" . | nindent 4 }}
  {{- with include "kdoctor.tables" (list .Values.agent.service.annotations (include "kdoctor.marks" . | fromYaml)) }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .Values.agent.service.type }}
  {{- with .Values.agent.service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with .Values.agent.service.internalTrafficPolicy }}
  internalTrafficPolicy: {{ . }}
  {{- end }}
  publishNotReadyAddresses: false
  selector:
    {{- include "kdoctor.agentSelector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .Values.agent.service.port | int }}, targetPort: http, protocol: TCP}
{{- end -}}

{{- define "kdoctor.agentLoadBalancer" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "kdoctor.agent" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "kdoctor.agentLabels" . | nindent 4 }}
  {{- with include "kdoctor.tables" (list .Values.agent.service.annotations .Values.agent.loadBalancer.annotations (include "kdoctor.marks" . | fromYaml)) }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  type: LoadBalancer
  {{- with .Values.agent.loadBalancer.class }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with .Values.agent.loadBalancer.sourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.agent.service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with .Values.agent.service.internalTrafficPolicy }}
  internalTrafficPolicy: {{ . }}
  {{- end }}
  publishNotReadyAddresses: false
  selector:
    {{- include "kdoctor.agentSelector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .Values.agent.service.port | int }}, targetPort: http, protocol: TCP}
{{- end -}}

{{- define "kdoctor.agentIngress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "kdoctor.agent" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "kdoctor.agentLabels" . | nindent 4 }}
  {{- with include "kdoctor.tables" (list .Values.ingress.annotations (include "kdoctor.marks" . | fromYaml)) }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- with .Values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .Values.ingress }}
  {{- if .tls.enabled }}
  tls:
    {{- if or .host .tls.secretName }}
    -
      {{- with .host }}
      hosts: [{{ quote . }}]
      {{- end }}
      {{- with .tls.secretName }}
      secretName: {{ quote . }}
      {{- end }}
    {{- else }}
    - {}
    {{- end }}
  {{- end }}
  rules:
    {{- if .host }}
    - host: {{ quote .host }}
      http:
    {{- else }}
    - http:
    {{- end }}
  {{- end }}
        paths:
          - path: /kdoctoragent
            pathType: Exact
            backend:
              service:
                name: {{ include "kdoctor.agent" . }}
                port: {name: http}
{{- end -}}

{{- define "kdoctor.families" -}}
{{- if and (eq (toString .Values.feature.enableIPv4) "false") (eq (toString .Values.feature.enableIPv6) "false") -}}
{{- fail "feature.enableIPv4 and feature.enableIPv6 are both false, which leaves no IP family to test over; set at least one of them to true or auto" -}}
{{- end -}}
- --ipv4={{ .Values.feature.enableIPv4 }}
- --ipv6={{ .Values.feature.enableIPv6 }}
{{- end -}}

{{/* Where agents run: on Linux nodes, whatever else is set. */}}
{{- define "kdoctor.agentPlacement" -}}
{{- $values := deepCopy .Values.agent -}}
{{- $_ := set $values "nodeSelector" (merge (dict "kubernetes.io/os" "linux") (deepCopy ($values.nodeSelector | default dict))) -}}
{{- include "kdoctor.placement" $values -}}
{{- end -}}

{{/* When there is an Ingress: ingress.mode, or what the older ingress.enabled says. */}}
{{- define "kdoctor.ingressMode" -}}
{{- if kindIs "bool" .Values.ingress.enabled -}}
{{- ternary "Always" "Never" .Values.ingress.enabled -}}
{{- else -}}
{{- .Values.ingress.mode -}}
{{- end -}}
{{- end -}}
