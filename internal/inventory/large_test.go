package inventory_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// largeCluster answers a client as the API server of a cluster with many nodes does, in protobuf and page by page.
type largeCluster struct {
	codec *protobuf.Serializer
	nodes []corev1.Node
	pods  []corev1.Pod

	mu sync.Mutex
	// pages has the answers by their requests, made once.
	pages map[string][]byte
	// bytes counts what was sent, largest is the size of the largest answer.
	bytes, largest int
}

func newLargeCluster(nodes int) *largeCluster {
	c := &largeCluster{codec: protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme),
		pages: map[string][]byte{}}
	for n := range nodes {
		name := fmt.Sprintf("node-%05d.region-1.compute.internal", n)
		c.nodes = append(c.nodes, *node(name, fullNode))
		c.pods = append(c.pods, *pod(fmt.Sprintf("agents-%05d", n), name, "workload", fullPod))
	}
	return c
}

// fullNode adds what real nodes have: 40 images, five conditions, labels, annotations and managed fields.
func fullNode(n *corev1.Node) {
	n.UID, n.ResourceVersion = types.UID("uid-"+n.Name), "123456"
	n.Annotations = map[string]string{}
	for i := range 12 {
		n.Labels[fmt.Sprintf("label-%d.example.com/name", i)] = strings.Repeat("v", 30)
		n.Annotations[fmt.Sprintf("annotation-%d.example.com/name", i)] = strings.Repeat("v", 60)
	}
	for i := range 40 {
		name := fmt.Sprintf("registry.example.com/team-%d/some-image", i)
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: 1 << 28,
			Names: []string{name + "@sha256:" + strings.Repeat("f", 64), name + ":v1.2.3"}})
	}
	for i := range 4 {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType(fmt.Sprintf("Condition%d", i)), Status: corev1.ConditionFalse,
			Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"})
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "198.18.0.10"}}
	n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate,
		FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 2500))}}
}

func fullPod(p *corev1.Pod) {
	p.ResourceVersion = "123456"
	for i := range 15 {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env,
			corev1.EnvVar{Name: fmt.Sprint("SOME_VARIABLE_", i), Value: strings.Repeat("v", 20)})
	}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate,
		FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 2000))}}
}

// RoundTrip answers a request for the workload, the nodes or the pods.
func (c *largeCluster) RoundTrip(request *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := c.answer(request)
	if err != nil {
		return nil, err
	}
	c.bytes, c.largest = c.bytes+len(answer), max(c.largest, len(answer))
	return &http.Response{StatusCode: http.StatusOK, Request: request, ContentLength: int64(len(answer)),
		Header: http.Header{"Content-Type": {"application/vnd.kubernetes.protobuf"}},
		Body:   io.NopCloser(bytes.NewReader(answer))}, nil
}

func (c *largeCluster) answer(request *http.Request) ([]byte, error) {
	if known, ok := c.pages[request.URL.String()]; ok {
		return known, nil
	}
	limit, _ := strconv.Atoi(request.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(request.URL.Query().Get("continue"))
	to, page := len(c.nodes), metav1.ListMeta{ResourceVersion: "123456"}
	if limit > 0 && from+limit < to {
		to = from + limit
		page.Continue = strconv.Itoa(to)
	}
	var object runtime.Object
	var kind schema.GroupVersionKind
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/nodes"):
		object, kind = &corev1.NodeList{ListMeta: page, Items: c.nodes[from:to]},
			corev1.SchemeGroupVersion.WithKind("NodeList")
	case strings.HasSuffix(path, "/pods"):
		object, kind = &corev1.PodList{ListMeta: page, Items: c.pods[from:to]},
			corev1.SchemeGroupVersion.WithKind("PodList")
	case strings.HasSuffix(path, "/daemonsets/agents"):
		object, kind = daemonSet(int32(len(c.nodes))), appsv1.SchemeGroupVersion.WithKind("DaemonSet")
	default:
		return nil, fmt.Errorf("nobody expected a request for %s", path)
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	var encoded bytes.Buffer
	if err := c.codec.Encode(object, &encoded); err != nil {
		return nil, err
	}
	c.pages[request.URL.String()] = encoded.Bytes()
	return encoded.Bytes(), nil
}

// client returns a client of the cluster without a cache.
func (c *largeCluster) client(tb testing.TB) client.Client {
	tb.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("DaemonSet"), meta.RESTScopeNamespace)
	made, err := client.New(&rest.Config{Host: "http://cluster.example", QPS: -1}, client.Options{
		HTTPClient: &http.Client{Transport: c}, Scheme: clientgoscheme.Scheme, Mapper: mapper})
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

// BenchmarkSnapshot is what a snapshot of 5,000 nodes costs the client, without the transport.
func BenchmarkSnapshot(b *testing.B) {
	const nodes = 5000
	c := newLargeCluster(nodes)
	inventory := inventory.New(c.client(b), namespace)
	of := topology.Workload{Kind: topology.DaemonSet, Name: "agents"}
	once := func() {
		got, err := inventory.Snapshot(b.Context(), of)
		if err != nil || len(got.Agents) != nodes || len(got.Nodes) != nodes || !got.Agents[0].Ready() {
			b.Fatalf("%d agents, %d nodes, %v", len(got.Agents), len(got.Nodes), err)
		}
	}
	once()
	c.bytes, c.largest = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(c.bytes)/float64(b.N)/1e6, "MB-read/op")
	b.ReportMetric(float64(c.largest)/1e6, "MB-largest-answer")
}
