{{/*
The objects of the default agents. The controller has them as manifests, in a ConfigMap: what it makes are copies of these, and never of live objects.
*/}}
{{- define "kdoctor.agentDaemonSet" -}}
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
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: {{ .Values.agent.maxUnavailable }}
  template:
    metadata:
      labels:
        {{- with .Values.agent.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "kdoctor.agentLabels" . | nindent 8 }}
      annotations:
        kubectl.kubernetes.io/default-container: agent
        {{- with .Values.agent.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "kdoctor.agent" . }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 15
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "kdoctor.agentPlacement" . | nindent 6 }}
      securityContext:
        {{- include "kdoctor.podSecurityContext" . | nindent 8 }}
      containers:
        - name: agent
          image: {{ include "kdoctor.image" (dict "root" . "image" .Values.agent.image) }}
          imagePullPolicy: {{ .Values.agent.image.pullPolicy }}
          args:
            - --http-port=8080
            - --control-port=5710
            - --health-port=5711
            - --tls-dir=/etc/kdoctor/tls
            - --installation={{ .Release.Namespace }}/{{ include "kdoctor.agent" . }}
            - --log-level={{ .Values.agent.logLevel }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: POD_UID
              valueFrom: {fieldRef: {fieldPath: metadata.uid}}
            - name: NODE_NAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
            - {name: control, containerPort: 5710, protocol: TCP}
            - {name: health, containerPort: 5711, protocol: TCP}
          readinessProbe:
            httpGet: {path: /readyz, port: health}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            httpGet: {path: /healthz, port: health}
            initialDelaySeconds: 10
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          {{- with .Values.agent.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext:
            {{- include "kdoctor.securityContext" . | nindent 12 }}
          volumeMounts:
            - name: tls
              mountPath: /etc/kdoctor/tls
              readOnly: true
      volumes:
        # The controller makes this Secret; until then the pod waits.
        - name: tls
          secret:
            secretName: kdoctor-agent-tls
            defaultMode: 0440
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
  {{- with .Values.agent.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
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
  {{- with merge (deepCopy .Values.agent.loadBalancer.annotations) .Values.agent.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
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
  {{- with .Values.ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
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
{{- $_ := set $values "nodeSelector" (merge (dict "kubernetes.io/os" "linux") ($values.nodeSelector | default dict)) -}}
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
