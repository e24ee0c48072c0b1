package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// build makes the workload after the default agents' DaemonSet. The ports are those of the nodes, nil for agents with a
// network of their own.
func build(standard *appsv1.DaemonSet, wish DesiredAgents, ports *Ports, owners []metav1.OwnerReference) (client.Object,
	error) {
	namespace, name := standard.Namespace, wish.Names.Name
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	if standard.Spec.Selector != nil {
		selector.MatchLabels = labelsOf(standard.Spec.Selector.MatchLabels, name)
	}
	selector.MatchLabels[nameLabel], selector.MatchLabels[componentLabel] = name, component
	template, err := templateOf(standard, wish, selector, ports)
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{}
	maps.Copy(annotations, wish.Spec.Annotation)
	annotations[taskAnnotation] = wish.Task.Kind + "/" + wish.Task.Name
	annotations[taskUIDAnnotation] = string(wish.Task.UID)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labelsOf(standard.Labels, name),
		Annotations: annotations, OwnerReferences: owners}
	if wish.Names.Kind == topology.Deployment {
		replicas := int32(1)
		if wish.Spec.DeploymentReplicas != nil {
			replicas = *wish.Spec.DeploymentReplicas
		}
		// Nobody but the task uses these agents, and two makes of them cannot have the same ports of a node: the old
		// ones go first.
		return &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: topology.Deployment},
			ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template,
				Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}}}, nil
	}
	all := intstr.FromString("100%")
	return &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: topology.DaemonSet},
		ObjectMeta: meta,
		Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template,
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &all}}}}, nil
}

// labelsOf are the labels with the agents' name and component in place of what was there; those of helm go, which
// removes what it knows.
func labelsOf(labels map[string]string, name string) map[string]string {
	own := withoutInstaller(labels)
	own[nameLabel], own[componentLabel] = name, component
	return own
}

// templateOf is the default agents' pod with what the task replaces. Its annotations are those of the installation,
// such as one that keeps a mesh's proxy out, and the task's above them.
func templateOf(standard *appsv1.DaemonSet, wish DesiredAgents, selector *metav1.LabelSelector,
	ports *Ports) (corev1.PodTemplateSpec, error) {
	template := standard.Spec.Template.DeepCopy()
	annotations := maps.Clone(template.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, wish.Spec.Annotation)
	template.ObjectMeta = metav1.ObjectMeta{Labels: labelsOf(template.Labels, wish.Names.Name),
		Annotations: annotations}
	maps.Copy(template.Labels, selector.MatchLabels)
	spec := &template.Spec
	if wish.Names.Kind == topology.Deployment && wish.Spec.Affinity == nil {
		spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: selector.DeepCopy()})
	}
	if wish.Spec.Affinity != nil {
		spec.Affinity = wish.Spec.Affinity.DeepCopy()
	}
	at := slices.IndexFunc(spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == httpPort })
	})
	if at < 0 {
		return corev1.PodTemplateSpec{},
			fmt.Errorf("DaemonSet %s/%s has no container with a port named %s", standard.Namespace, standard.Name,
				httpPort)
	}
	agent := &spec.Containers[at]
	agent.Env = environment(agent.Env, wish.Spec.Env)
	if wish.Spec.Resources != nil {
		agent.Resources = *wish.Spec.Resources.DeepCopy()
	}
	agent.Args = withFlag(agent.Args, "installation", standard.Namespace+"/"+wish.Names.Name)
	spec.HostNetwork = ports != nil
	if ports != nil {
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
		// The API server refuses the nodes' network to pods with a user namespace of their own.
		spec.HostUsers = nil
		if spec.SecurityContext != nil {
			// Those of the node's network are the node's own.
			spec.SecurityContext.Sysctls = nil
		}
		listen(agent, *ports)
	}
	return *template, nil
}

// listen moves the agent to the ports. On the node's network a port of the container is one of the node.
func listen(agent *corev1.Container, ports Ports) {
	for name, port := range map[string]int32{httpPort: ports.HTTP, controlPort: ports.Control,
		healthPort: ports.Health} {
		for i := range agent.Ports {
			if agent.Ports[i].Name == name {
				agent.Ports[i].ContainerPort, agent.Ports[i].HostPort = port, port
			}
		}
	}
	agent.Args = withFlag(agent.Args, "http-port", fmt.Sprint(ports.HTTP))
	agent.Args = withFlag(agent.Args, "control-port", fmt.Sprint(ports.Control))
	agent.Args = withFlag(agent.Args, "health-port", fmt.Sprint(ports.Health))
}

// environment appends variables, each name once. Those that tell an agent who it is stay as they are: with others no
// answer of it would count.
func environment(standard, more []corev1.EnvVar) []corev1.EnvVar {
	all := slices.Clone(standard)
	for _, variable := range more {
		at := slices.IndexFunc(all, func(v corev1.EnvVar) bool { return v.Name == variable.Name })
		switch {
		case slices.Contains([]string{"POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME"}, variable.Name):
		case at < 0:
			all = append(all, *variable.DeepCopy())
		default:
			all[at] = *variable.DeepCopy()
		}
	}
	return all
}

// withFlag sets --flag=value, in its old place if it is there.
func withFlag(args []string, flag, value string) []string {
	args = slices.Clone(args)
	set := "--" + flag + "=" + value
	if at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--"+flag+"=") }); at >= 0 {
		args[at] = set
		return args
	}
	return append(args, set)
}
