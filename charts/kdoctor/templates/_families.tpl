{{/*
The IP families that are tested, as "IPv4", "IPv6" or "IPv4,IPv6".

What "auto" means is asked of the cluster: the ranges of Services, as API servers from 1.33 on tell them; else the nodes' pod ranges; else the nodes'
own addresses. Without a cluster, as in "helm template", it is both families.
*/}}
{{- define "kdoctor.families" -}}
{{- $seen := list -}}
{{- range tuple "serviceRanges" "podRanges" "nodeAddresses" -}}
  {{- if not $seen -}}
    {{- $seen = include (printf "kdoctor.%s" .) $ | fromJsonArray -}}
  {{- end -}}
{{- end -}}
{{- $found := dict "IPv4" (not $seen) "IPv6" (not $seen) -}}
{{- range $seen -}}
  {{- $_ := set $found (ternary "IPv6" "IPv4" (contains ":" .)) true -}}
{{- end -}}
{{- $families := list -}}
{{- range $family := tuple "IPv4" "IPv6" -}}
  {{- $wanted := get $.Values.feature (printf "enable%s" $family) | toString -}}
  {{- if or (eq $wanted "true") (and (eq $wanted "auto") (get $found $family)) -}}
    {{- $families = append $families $family -}}
  {{- end -}}
{{- end -}}
{{- if not $families -}}
  {{- fail (printf "feature.enableIPv4 is %v and feature.enableIPv6 is %v, which leaves no IP family to test over; set at least one of them to true" .Values.feature.enableIPv4 .Values.feature.enableIPv6) -}}
{{- end -}}
{{- join "," $families -}}
{{- end -}}

{{- define "kdoctor.serviceRanges" -}}
{{- $all := list -}}
{{- if .Capabilities.APIVersions.Has "networking.k8s.io/v1/ServiceCIDR" -}}
  {{- range (lookup "networking.k8s.io/v1" "ServiceCIDR" "" "").items -}}
    {{- $all = concat $all .spec.cidrs -}}
  {{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "kdoctor.podRanges" -}}
{{- $all := list -}}
{{- range (lookup "v1" "Node" "" "").items -}}
  {{- $all = concat $all (.spec.podCIDRs | default list) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "kdoctor.nodeAddresses" -}}
{{- $all := list -}}
{{- range (lookup "v1" "Node" "" "").items -}}
  {{- range .status.addresses -}}
    {{- if eq .type "InternalIP" -}}
      {{- $all = append $all .address -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* The agents' Services, as a list with commas. */}}
{{- define "kdoctor.agentServices" -}}
{{- $names := list -}}
{{- range splitList "," (include "kdoctor.families" .) -}}
  {{- $names = append $names (printf "%s-%s" (include "kdoctor.agent" $) (lower .)) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}
