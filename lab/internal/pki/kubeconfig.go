package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig for the user of the named certificate. It holds everything, so that it may be copied
// elsewhere.
func (f Folder) Kubeconfig(path, user, lab, server string) error {
	data := map[string][]byte{}
	for _, file := range []string{f.CA(), f.Cert(user), f.Key(user)} {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
		}
		data[file] = content
	}
	name := "kdoctor-lab-" + lab
	cfg := api.Config{
		Clusters: map[string]*api.Cluster{name: {Server: server, CertificateAuthorityData: data[f.CA()]}},
		AuthInfos: map[string]*api.AuthInfo{name: {ClientCertificateData: data[f.Cert(user)],
			ClientKeyData: data[f.Key(user)]}},
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
	if err := clientcmd.WriteToFile(cfg, path); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
	}
	return nil
}
