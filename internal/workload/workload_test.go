package workload

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

const namespace = "kdoctor"

func standard() topology.Workload {
	return topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-agent",
		Services: []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"}, Ingress: "kdoctor-agent"}
}

// manifests are those of the default agents, as the chart has them.
func manifests() Manifests {
	set := standardSet()
	set.UID, set.ResourceVersion, set.Generation, set.Annotations, set.Status = "", "", 0, nil, appsv1.DaemonSetStatus{}
	service := func(name string, of corev1.ServiceType, annotations map[string]string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: chartLabels(),
				Annotations: annotations},
			Spec: corev1.ServiceSpec{Type: of, Selector: standardLabels(), Ports: []corev1.ServicePort{{Name: "http",
				Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}}},
		}
	}
	ingress := standardIngress()
	ingress.Status = networkingv1.IngressStatus{}
	return Manifests{DaemonSet: set, Service: service("kdoctor-agent", corev1.ServiceTypeNodePort, nil),
		LoadBalancer: service("kdoctor-agent", corev1.ServiceTypeLoadBalancer,
			map[string]string{"metallb.io/address-pool": "lab"}), Ingress: ingress}
}

func standardLabels() map[string]string {
	return map[string]string{nameLabel: "kdoctor-agent", "app.kubernetes.io/instance": "kdoctor",
		componentLabel: "kdoctor-agent"}
}

func chartLabels() map[string]string {
	labels := standardLabels()
	labels["app.kubernetes.io/part-of"], labels["app.kubernetes.io/managed-by"], labels["helm.sh/chart"] = "kdoctor",
		"Helm", "kdoctor-0.1.0"
	return labels
}

// standardSet is the default agents' DaemonSet as the API server shows it: the chart's, with what has been added since.
func standardSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-agent", UID: "standard",
			ResourceVersion: "7", Generation: 3, Labels: chartLabels(),
			Annotations: map[string]string{"meta.helm.sh/release-name": "kdoctor",
				"deprecated.daemonset.template.generation": "3"}},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: standardLabels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: chartLabels(),
					Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "agent"}},
				Spec: corev1.PodSpec{
					ServiceAccountName: "kdoctor-agent", DNSPolicy: corev1.DNSClusterFirst,
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					Containers: []corev1.Container{{
						Name: "agent", Image: "kdoctor/agent:0.1.0",
						Args: []string{"--http-port=8080", "--control-port=5710", "--health-port=5711",
							"--tls-dir=/etc/kdoctor/tls", "--installation=kdoctor/kdoctor-agent"},
						Env: []corev1.EnvVar{{Name: "POD_NAME",
							ValueFrom: &corev1.EnvVarSource{
								FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
						Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
							{Name: "control", ContainerPort: 5710, Protocol: corev1.ProtocolTCP},
							{Name: "health", ContainerPort: 5711, Protocol: corev1.ProtocolTCP}},
						ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromString("health")}}},
					}},
				},
			},
		},
		Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, NumberReady: 3},
	}
}

// dualStack is the Service by which the cluster's families are known.
func dualStack(families ...corev1.IPFamily) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-controller"},
		Spec: corev1.ServiceSpec{IPFamilies: families}}
}

func standardIngress() *networkingv1.Ingress {
	exact, class := networkingv1.PathTypeExact, "lab"
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-agent", Labels: chartLabels(),
			Annotations: map[string]string{"example.io/timeout": "5"}},
		Spec: networkingv1.IngressSpec{IngressClassName: &class,
			Rules: []networkingv1.IngressRule{{IngressRuleValue: networkingv1.IngressRuleValue{
				HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/kdoctoragent",
					PathType: &exact,
					Backend:  networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "kdoctor-agent-ipv4", Port: networkingv1.ServiceBackendPort{Name: "http"}}}}}}}}}},
		Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{IP: "198.18.0.3"}}}},
	}
}

// wishFor is what the named task, of the UID, asks for.
func wishFor(task, uid string, spec v1beta1.AgentSpec) DesiredAgents {
	return DesiredAgents{
		Task: Task{Kind: "NetReach", Name: task, UID: types.UID(uid)},
		Spec: spec, Names: Names("NetReach", task, spec.Kind, standard(), true), LoadBalancer: true, Ingress: true,
		Families: []topology.Family{topology.IPv4, topology.IPv6},
	}
}
