package chart

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/leader"
)

// forbiddenPods are what a controller that somebody has taken over may try to make of the agents' pods.
func forbiddenPods() map[string]func(*corev1.PodSpec) {
	yes, no, root := true, false, int64(0)
	return map[string]func(*corev1.PodSpec){
		"a privileged container": func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext.Privileged = &yes
			p.Containers[0].SecurityContext.AllowPrivilegeEscalation = &yes
		},
		"a privileged container that runs first": func(p *corev1.PodSpec) {
			first := p.Containers[0].DeepCopy()
			first.Name, first.SecurityContext.Privileged = "first", &yes
			first.SecurityContext.AllowPrivilegeEscalation = &yes
			first.LivenessProbe, first.ReadinessProbe = nil, nil
			p.InitContainers = append(p.InitContainers, *first)
		},
		"a gain of privileges": func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil },
		"a capability": func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"}
		},
		"the user root":         func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.RunAsUser = &root },
		"any user":              func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.RunAsNonRoot = &no },
		"the node's processes":  func(p *corev1.PodSpec) { p.HostPID = true },
		"the node's semaphores": func(p *corev1.PodSpec) { p.HostIPC = true },
		"a folder of the node": func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		},
		"the authority's key": func(p *corev1.PodSpec) { p.Volumes[0].Secret.SecretName = "kdoctor-ca" },
		"the authority's key beside others": func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "all", VolumeSource: corev1.VolumeSource{
				Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
					Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{
						Name: "kdoctor-ca"}}}}}}})
		},
		"the authority's key as a variable": func(p *corev1.PodSpec) {
			key := &corev1.SecretKeySelector{Key: "tls.key",
				LocalObjectReference: corev1.LocalObjectReference{Name: "kdoctor-ca"}}
			p.Containers[0].Env = append(p.Containers[0].Env,
				corev1.EnvVar{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: key}})
		},
		"a token":                    func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = &yes },
		"the controller's account":   func(p *corev1.PodSpec) { p.ServiceAccountName = "kdoctor-controller" },
		"another image":              func(p *corev1.PodSpec) { p.Containers[0].Image = "example.com/shell:1" },
		"an image that begins alike": func(p *corev1.PodSpec) { p.Containers[0].Image = "kdoctor/agent-not:1" },
		"a port of the node": func(p *corev1.PodSpec) {
			p.Containers[0].Ports[0].HostPort = p.Containers[0].Ports[0].ContainerPort
		},
		"a port of the node's network that is not the agents'": func(p *corev1.PodSpec) {
			p.HostNetwork = true
			// The API server itself refuses these on the nodes' network.
			p.SecurityContext.Sysctls = nil
			for i := range p.Containers[0].Ports {
				p.Containers[0].Ports[i].ContainerPort, p.Containers[0].Ports[i].HostPort = 10250, 10250
			}
			p.Containers[0].Ports = p.Containers[0].Ports[:1]
		},
	}
}

// policyHolds tries all of that under the controller's account. What the controller has to make is tried by ownAgents.
func policyHolds(t *testing.T, config *rest.Config) {
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: account,
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	controller, err := kube.NewClient(limited)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	good := manifestsOf(t, config).DaemonSet.DeepCopy()
	good.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "try"}
	try := func(api client.Client, change func(*corev1.PodSpec)) error {
		set := good.DeepCopy()
		change(&set.Spec.Template.Spec)
		return api.Create(t.Context(), set, client.DryRunAll)
	}
	if err := try(controller, func(*corev1.PodSpec) {}); err != nil {
		t.Errorf("a DaemonSet like the agents' is refused: %v", err)
	}
	privileged := forbiddenPods()["a privileged container"]
	// The API server evaluates a policy a moment after it was made.
	soon(t, "the policy is in force", func(context.Context) bool { return try(controller, privileged) != nil })
	if err := try(admin, privileged); err != nil {
		t.Errorf("the policy judges others than the controller: %v", err)
	}
	for name, change := range forbiddenPods() {
		if err := try(controller, change); !refusedByPolicy(err) {
			t.Errorf("%s: %v; want the policy's refusal", name, err)
		}
	}
	t.Run("Deployments", func(t *testing.T) {
		deployment := &appsv1.Deployment{ObjectMeta: good.ObjectMeta,
			Spec: appsv1.DeploymentSpec{Selector: good.Spec.Selector, Template: *good.Spec.Template.DeepCopy()}}
		if err := controller.Create(t.Context(), deployment.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("a Deployment like the agents' is refused: %v", err)
		}
		privileged(&deployment.Spec.Template.Spec)
		if err := controller.Create(t.Context(), deployment, client.DryRunAll); !refusedByPolicy(err) {
			t.Errorf("%v; want the policy's refusal", err)
		}
	})
	t.Run("Services and Secrets", func(t *testing.T) { otherObjects(t, controller) })
	t.Run("pods", func(t *testing.T) { patchedPods(t, admin, controller, good.Spec.Template) })
}

func otherObjects(t *testing.T, controller client.Client) {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "try"}
	ports := []corev1.ServicePort{{Port: 80}}
	agents := map[string]string{"app.kubernetes.io/component": "kdoctor-agent"}
	for name, object := range map[string]client.Object{
		"a Service with an address of others": &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: ports,
			Selector: agents, ExternalIPs: []string{"192.0.2.1"}}},
		"a Service for a name of others": &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", Selector: agents}},
		"a Service that leads to other pods": &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: ports,
			Selector: map[string]string{"app": "bank"}}},
		"a token of an account": &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "kdoctor-agent-tls",
			Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}}},
	} {
		if err := controller.Create(t.Context(), object, client.DryRunAll); !refusedByPolicy(err) {
			t.Errorf("%s: %v; want the policy's refusal", name, err)
		}
	}
}

// patchedPods marks a pod as the leader does, and tries to change more of it.
func patchedPods(t *testing.T, admin, controller client.Client, template corev1.PodTemplateSpec) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "marked", Labels: template.Labels},
		Spec: template.Spec}
	if err := admin.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	})
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "marked-too",
		Labels: map[string]string{leader.Label: leader.Marked}}, Spec: template.Spec}
	if err := admin.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), other, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	})
	mark := &leader.Mark{Client: controller, Namespace: namespace, Pod: pod.Name}
	if err := mark.Set(t.Context()); err != nil {
		t.Errorf("the controller cannot mark the pod that leads: %v", err)
	}
	for name, change := range map[string]any{
		"another image": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": pod.Spec.Containers[0].Name, "image": "example.com/shell:1"}}}},
		"another label": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "bank"}}},
		"a label less": map[string]any{"metadata": map[string]any{"labels": map[string]any{
			"app.kubernetes.io/component": nil}}},
		"another annotation": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"a": "b"}}},
	} {
		body, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		err = controller.Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, body),
			client.DryRunAll)
		if !refusedByPolicy(err) {
			t.Errorf("%s: %v; want the policy's refusal", name, err)
		}
	}
}

// refusedByPolicy reports whether the policy of the controller's account refused a request.
func refusedByPolicy(err error) bool {
	return err != nil && (apierrors.IsInvalid(err) || apierrors.IsForbidden(err)) &&
		strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'kdoctor-controller-")
}
