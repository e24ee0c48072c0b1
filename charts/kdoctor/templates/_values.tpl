{{/* A number, a boolean or a text of the values as text: 1e9 of a values file is 1000000000. */}}
{{- define "kdoctor.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ printf "%.0f" . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/*
Tables of texts, such as labels, as one: a later table of the list stands above the earlier ones, and no key stands there twice. What is given as a number
or a boolean becomes a text, and what is null goes.
*/}}
{{- define "kdoctor.tables" -}}
{{- $out := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $out $key -}}
{{- else -}}
{{- $_ := set $out $key (include "kdoctor.scalar" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $out -}}{{ toYaml $out }}{{- end -}}
{{- end -}}

{{/* Requests and limits as texts; nothing where none is left. */}}
{{- define "kdoctor.resources" -}}
{{- $out := dict -}}
{{- range $kind := list "requests" "limits" -}}
{{- with include "kdoctor.tables" (list (index $ $kind)) -}}
{{- $_ := set $out $kind (fromYaml .) -}}
{{- end -}}
{{- end -}}
{{- with .claims -}}
{{- $_ := set $out "claims" . -}}
{{- end -}}
{{- if $out -}}{{ toYaml $out }}{{- end -}}
{{- end -}}

{{/* Variables of a container: values that are numbers or booleans become texts. */}}
{{- define "kdoctor.env" -}}
{{- $out := list -}}
{{- range . -}}
{{- $variable := deepCopy . -}}
{{- if hasKey $variable "value" -}}
{{- $_ := set $variable "value" (include "kdoctor.scalar" (kindIs "invalid" $variable.value | ternary "" $variable.value)) -}}
{{- end -}}
{{- $out = append $out $variable -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}
