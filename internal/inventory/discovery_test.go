package inventory_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
)

// discovering asks an API server for policies of the whole cluster, as the controller does, and others for the rest.
type discovering struct {
	client.Reader
	cluster client.Client
}

func (d discovering) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, cluster := list.(*unstructured.UnstructuredList); cluster {
		return d.cluster.List(ctx, list, options...)
	}
	return d.Reader.List(ctx, list, options...)
}

// apiServer is an API server with these kinds of policies of the whole cluster, of which it gives none away where it
// refuses.
func apiServer(t *testing.T, refuses bool, versions map[string][]string) discovering {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(status int, object any) {
			w.WriteHeader(status)
			if err := json.NewEncoder(w).Encode(object); err != nil {
				t.Error(err)
			}
		}
		group := metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: policyGroup}
		resources := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}}
		path := strings.TrimPrefix(r.URL.Path, "/apis/"+policyGroup)
		version, plural, list := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		for v, kinds := range versions {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: policyGroup + "/" + v,
				Version: v})
			for _, kind := range kinds {
				if v == version {
					resources.APIResources = append(resources.APIResources, metav1.APIResource{Kind: kind,
						Name: strings.TrimSuffix(strings.ToLower(kind), "y") + "ies", Verbs: metav1.Verbs{"list"}})
				}
			}
		}
		resources.GroupVersion = policyGroup + "/" + version
		switch {
		case r.URL.Path == "/api":
			answer(http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"},
				Versions: []string{"v1"}})
		case r.URL.Path == "/apis":
			all := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
			if len(versions) > 0 {
				all.Groups = append(all.Groups, group)
			}
			answer(http.StatusOK, all)
		case len(versions) == 0, version != "" && len(versions[version]) == 0, strings.HasPrefix(path, "/apis"):
			answer(http.StatusNotFound, metav1.Status{Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404})
		case version == "":
			answer(http.StatusOK, group)
		case !list:
			answer(http.StatusOK, resources)
		case refuses:
			answer(http.StatusForbidden, metav1.Status{Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403})
		default:
			answer(http.StatusOK, map[string]any{"apiVersion": policyGroup + "/" + version,
				"kind": plural + "List", "metadata": map[string]any{}, "items": []any{map[string]any{
					"apiVersion": policyGroup + "/" + version, "kind": plural,
					"metadata": map[string]any{"name": plural},
					"spec":     map[string]any{"subject": map[string]any{"namespaces": map[string]any{}}}}}})
		}
	}))
	t.Cleanup(server.Close)
	cluster, err := client.New(&rest.Config{Host: server.URL}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return discovering{Reader: policyCluster(t).Reader, cluster: cluster}
}

func TestKindsOfPoliciesAreFoundByDiscovery(t *testing.T) {
	admin := map[string][]string{"v1alpha1": {"AdminNetworkPolicy"}}
	for name, c := range map[string]struct {
		versions map[string][]string
		refuses  bool
		objects  []string
		unread   int
	}{
		"the API server has no such kinds": {},
		"it has one of them":               {versions: admin, objects: []string{"adminnetworkpolicies"}},
		"it refuses to list one":           {versions: admin, refuses: true, unread: 1},
		"it has all of them": {versions: map[string][]string{"v1alpha2": {"ClusterNetworkPolicy"},
			"v1alpha1": {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}},
			objects: []string{"adminnetworkpolicies", "clusternetworkpolicies", "baselineadminnetworkpolicies"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policiesOf(t, inventory.New(apiServer(t, c.refuses, c.versions), namespace))
			var names []string
			for _, o := range got.Objects {
				names = append(names, o.Name)
			}
			if strings.Join(names, " ") != strings.Join(c.objects, " ") || len(got.Unread) != c.unread || !got.Read {
				t.Errorf("read %q, unread %q; want %q and %d kinds", names, got.Unread, c.objects, c.unread)
			}
		})
	}
}
