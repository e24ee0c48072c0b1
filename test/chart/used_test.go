package chart

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// needs are the settings without which a value means nothing, by the beginning of its path.
func needs() map[string][]string {
	return map[string][]string{
		"ingress.tls.secretName": {"ingress.tls.enabled=true"},
		"hostAgent.":             {"hostAgent.enabled=true"},
		"controller.reports.existingSecret": {
			"controller.reports.url=s3://bucket"},
		"controller.reports.persistence.existingClaim":    {"controller.reports.persistence.enabled=true"},
		"controller.reports.persistence.storageClassName": {"controller.reports.persistence.enabled=true"},
		"controller.reports.persistence.accessModes":      {"controller.reports.persistence.enabled=true"},
		"metrics.tokenSecret.key": {"metrics.tokenSecret.name=scraper",
			"metrics.podMonitor.enabled=true"},
		"metrics.tokenSecret.name": {"metrics.serviceMonitor.enabled=true"},
		"metrics.serviceMonitor.":  {"metrics.serviceMonitor.enabled=true"},
		"metrics.podMonitor.":      {"metrics.tokenSecret.name=scraper", "metrics.podMonitor.enabled=true"},
		"metrics.prometheusRule.":  {"metrics.prometheusRule.enabled=true"},
		"metrics.dashboard.":       {"metrics.dashboard.enabled=true"},
		"networkPolicy.":           {"networkPolicy.enabled=true"},
	}
}

// others are settings that differ from the defaults where their type does not tell one, by the end of the path.
func others() map[string]string {
	return map[string]string{
		"imagePullSecrets": "[0].name=other", "image.tag": "=9.9.9",
		"image.digest":   "=sha256:" + strings.Repeat("c3", 32),
		"maxUnavailable": "=3", "resources": ".limits.cpu=2", "tolerations": "[0].key=other",
		"affinity": ".nodeAffinity.preferred=other", "hostPorts": "=22000-22999", "extraArgs": "[0]=--other",
		"extraEnv": "[0].name=OTHER", "extraVolumes": "[0].name=other", "updateStrategy": ".type=RollingUpdate",
		"dnsPolicy": "=Default", "dnsConfig": ".searches[0]=other", "hostUsers": "=false",
		"podSecurityContext": ".supplementalGroups[0]=7", "securityContext": ".procMount=Default",
		"Probe": ".timeoutSeconds=9", "TrafficPolicy": "=Local", "loadBalancer.keep": "=3m",
		"sourceRanges": "[0]=192.0.2.0/24", "ingress.enabled": "=true", "reports.size": "=3Gi",
		"reports.url": "=s3://other", "maxAge": "=3h", "maxSize": "=300Mi", "accessModes": "[0]=ReadWriteMany",
		"tasks": ".other.spec.suspend=true", "extraObjects": "[0].kind=ConfigMap", "interval": "=77s",
		"agent.updateStrategy": ".type=OnDelete", "extraVolumeMounts": "[0].name=other,%s[0].mountPath=/other",
		"repository": "=other/image", "labels": ".other=other", "Labels": ".other=other", "nnotations": ".other=other",
		"nodeSelector": ".other=other", "tokenSecret.key": "=other",
		"controller.replicas": "=3", "apiServerPorts": "[0]=7443", "extraEgress": "[0].ports[0].port=7",
		"topologySpreadConstraints": "[0].topologyKey=other", "dnsService": "=other/dns",
	}
}

// other returns settings of the value that differ from its default.
func other(t *testing.T, v value, enums map[string][]any) string {
	t.Helper()
	suffix := ""
	for end := range others() {
		if strings.HasSuffix(v.path, end) && len(end) > len(suffix) {
			suffix = end
		}
	}
	if suffix != "" {
		return v.path + strings.ReplaceAll(others()[suffix], "%s", v.path)
	}
	for _, choice := range enums[v.path] {
		if text, ok := choice.(string); ok && text != "" && `"`+text+`"` != v.standard {
			return v.path + "=" + text
		}
	}
	var standard any
	if err := json.Unmarshal([]byte(v.standard), &standard); err != nil {
		t.Fatal(err)
	}
	switch standard := standard.(type) {
	case bool:
		return v.path + "=" + map[bool]string{true: "false", false: "true"}[standard]
	case float64:
		return v.path + "=4321"
	default:
		return v.path + "=other"
	}
}

// enumsOf are the values that the schema lets a path have.
func enumsOf(t *testing.T) map[string][]any {
	t.Helper()
	type node struct {
		Properties map[string]*node `json:"properties"`
		Enum       []any            `json:"enum"`
		Ref        string           `json:"$ref"`
	}
	var root struct {
		node
		Definitions map[string]*node `json:"definitions"`
	}
	if err := json.Unmarshal(read(t, filepath.Join(folder, "values.schema.json")), &root); err != nil {
		t.Fatal(err)
	}
	enums := map[string][]any{}
	for _, v := range values(t) {
		at := &root.node
		for _, part := range strings.Split(v.path, ".") {
			at = at.Properties[part]
		}
		if at.Ref != "" {
			at = root.Definitions[strings.TrimPrefix(at.Ref, "#/definitions/")]
		}
		enums[v.path] = at.Enum
	}
	return enums
}

func TestEveryValueChangesWhatIsRendered(t *testing.T) {
	enums, before := enumsOf(t), map[string]string{}
	for _, v := range values(t) {
		var base []string
		for path, settings := range needs() {
			for _, setting := range settings {
				if strings.HasPrefix(v.path, path) && !strings.HasPrefix(setting, v.path+"=") {
					base = append(base, setting)
				}
			}
		}
		// The kinds are most of the text, and only their own values change them.
		if !strings.HasPrefix(v.path, "crds.") {
			base = append(base, "crds.install=false")
		}
		key := strings.Join(base, ",")
		if before[key] == "" {
			before[key] = render(t, "kdoctor", base...)
		}
		setting := other(t, v, enums)
		if render(t, "kdoctor", append(base, setting)...) == before[key] {
			t.Errorf("%s changes nothing", setting)
		}
	}
}
