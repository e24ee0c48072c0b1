package chart

import "strings"

// variants are the settings that change what is rendered most.
func variants() map[string][]string {
	return map[string][]string{
		"default": nil,
		"ipv6-pvc": {
			"feature.enableIPv4=false", "controller.reports.persistence.enabled=true",
			"controller.reports.persistence.storageClassName=fast",
		},
		"ingress-tls": {
			"feature.enableIPv6=false", "ingress.host=kdoctor.example.org", "ingress.tls.enabled=true",
			"ingress.tls.secretName=agents-tls",
		},
		"ipv4-lean": {
			"feature.enableIPv6=false", "ingress.mode=Never", "agent.loadBalancer.mode=Never",
			"agent.service.type=ClusterIP", "networkPolicy.enabled=true",
			"agent.priorityClassName=system-node-critical",
		},
		"refuse": {
			"feature.enableIPv6=false", "limits.onExcess=Refuse", "limits.requestsPerSecond=20000",
		},
		"s3": {
			"controller.reports.url=s3://bucket/kdoctor?endpoint=https://minio.example.com" +
				"&region=us-east-1&use_path_style=true", "controller.reports.existingSecret=minio",
		},
		"monitored": {"nodeCondition.mode=Set",
			"feature.enableIPv6=false", "metrics.serviceMonitor.enabled=true",
			"metrics.serviceMonitor.labels.release=prometheus", "metrics.podMonitor.enabled=true",
			"metrics.tokenSecret.name=scraper", "metrics.prometheusRule.enabled=true",
			"metrics.dashboard.enabled=true", "metrics.dashboard.namespace=monitoring",
		},
		"openshift": {
			"openshift.enabled=true", "commonLabels.team=network", "controller.apiPort=10250",
			"hostAgent.enabled=true",
		},
		"host-network": {
			"controller.hostNetwork=true", "controller.apiPort=9443", "controller.healthPort=9444",
			"controller.metricsPort=9445",
			"agent.ports.http=18080", "agent.ports.control=15710", "agent.ports.health=15711",
			"agent.service.port=8088",
		},
		"mirror": {
			"global.imageRegistry=mirror.example.com/cache", "global.imagePullSecrets[0]=mirror",
			"imagePullSecrets[0].name=own", "agent.image.registry=registry.example.com",
			"controller.image.repository=registry.example.com:5000/team/controller",
			"agent.image.digest=sha256:" + strings.Repeat("a1", 32), "controller.image.tag=1.2.3",
			"controller.image.digest=sha256:" + strings.Repeat("b2", 32),
		},
		"everything-off": {
			"helmTest.enabled=false", "rbac.create=false", "apiService.enabled=false",
			"agent.serviceAccount.create=false", "controller.serviceAccount.create=false",
			"controller.serviceAccount.name=theirs", "agent.meshOptOut=false", "controller.meshOptOut=false",
			"agent.loadBalancer.mode=Never", "ingress.mode=Never", "agent.service.type=ClusterIP",
			"agent.readinessProbe=null", "agent.livenessProbe=null", "controller.startupProbe=null",
			"controller.readinessProbe=null", "controller.livenessProbe=null", "agent.resources=null",
			"controller.resources=null", "agent.tolerations=null", "agent.podSecurityContext=null",
			"agent.securityContext=null", "agent.hostUsers=false", "fullnameOverride=doctor",
		},
		"everything-added": {
			"nameOverride=nets", "agent.extraArgs[0]=--log-format=text", "agent.extraEnv[0].name=GODEBUG",
			"agent.extraEnv[0].value=1", "agent.extraVolumes[0].name=scratch",
			"agent.extraVolumes[0].emptyDir.medium=Memory", "agent.extraVolumeMounts[0].name=scratch",
			"agent.extraVolumeMounts[0].mountPath=/scratch", "agent.updateStrategy.type=OnDelete",
			"agent.dnsConfig.searches[0]=example.com", "agent.dnsPolicy=Default",
			"agent.runtimeClassName=gvisor", "agent.serviceAccount.annotations.owner=net",
			"controller.serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/kdoctor",
			"controller.extraArgs[0]=--log-format=text", "controller.extraEnv[0].name=HTTPS_PROXY",
			"controller.extraEnv[0].value=http://proxy.example.com:3128", "controller.extraVolumes[0].name=ca",
			"controller.extraVolumes[0].configMap.name=ca", "controller.extraVolumeMounts[0].name=ca",
			"controller.extraVolumeMounts[0].mountPath=/etc/ssl/certs",
			"controller.updateStrategy.type=RollingUpdate", "controller.logLevel=debug",
			"controller.dnsConfig.nameservers[0]=192.0.2.53", "controller.runtimeClassName=gvisor",
			"controller.hostUsers=false", "tasks.heartbeat.spec.schedule.schedule=1 5",
			"hostAgent.enabled=true", "hostAgent.ports.http=15780", "hostAgent.ports.control=15781",
			"hostAgent.ports.health=15782", "diagnosis.dnsService=dns/coredns",
			"tasks.heartbeat.labels.team=network", "extraObjects[0].apiVersion=v1",
			"extraObjects[0].kind=ConfigMap", "extraObjects[0].metadata.name=more",
		},
	}
}
