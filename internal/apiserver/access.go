package apiserver

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// authConfigMap tells every extension API server by which authorities callers are known.
	authConfigMap = "extension-apiserver-authentication"
	tokenCache    = 10 * time.Second
	reviewTimeout = 10 * time.Second
)

// access tells who a caller is and what it may do.
type access struct {
	authenticator  authenticator.Request
	authorizer     authorizer.Authorizer
	requestHeaders *authenticatorfactory.RequestHeaderConfig
	// authorities sign the certificates of callers.
	authorities []dynamiccertificates.CAContentProvider
	// parts run beside the server, each until its context is over.
	parts []func(context.Context)
}

func (a access) apply(config *genericapiserver.Config) {
	config.Authentication.Authenticator = a.authenticator
	config.Authentication.RequestHeaderConfig = a.requestHeaders
	config.Authorization.Authorizer = a.authorizer
	if len(a.authorities) > 0 {
		config.SecureServing.ClientCA = dynamiccertificates.NewUnionCAContentProvider(a.authorities...)
	}
}

// headers is what the API server's front proxy says of callers, and the authority by which it is known.
type headers struct {
	*dynamiccertificates.ConfigMapCAController
	*headerrequest.RequestHeaderAuthRequestController
}

// delegate leaves both questions to the API server that the configuration leads to.
func delegate(config *rest.Config) (access, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return access{}, fmt.Errorf("make client: %w", err)
	}
	clientCA, err := dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", metav1.NamespaceSystem,
		authConfigMap, "client-ca-file", client)
	if err != nil {
		return access{}, fmt.Errorf("follow client authority: %w", err)
	}
	front, err := frontProxy(client)
	if err != nil {
		return access{}, err
	}
	a := access{
		requestHeaders: front.config(),
		authorities:    []dynamiccertificates.CAContentProvider{clientCA, front.ConfigMapCAController},
		// The certificate controllers are started by the server itself.
		parts: []func(context.Context){func(ctx context.Context) {
			front.RequestHeaderAuthRequestController.Run(ctx,
				1)
		}},
	}
	backoff := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}
	a.authenticator, _, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		// Discovery and health are for everyone whom the authorizer lets; it decides on system:anonymous too.
		Anonymous:               &apiserver.AnonymousAuthConfig{Enabled: true},
		TokenAccessReviewClient: client.AuthenticationV1(), TokenAccessReviewTimeout: reviewTimeout,
		WebhookRetryBackoff: &backoff, CacheTTL: tokenCache,
		ClientCertificateCAContentProvider: clientCA, RequestHeaderConfig: a.requestHeaders,
	}.New()
	if err != nil {
		return access{}, fmt.Errorf("make authenticator: %w", err)
	}
	a.authorizer, err = delegatedAuthorizer(client, backoff)
	return a, err
}

func frontProxy(client kubernetes.Interface) (headers, error) {
	authority, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy-ca", metav1.NamespaceSystem,
		authConfigMap, "requestheader-client-ca-file", client)
	if err != nil {
		return headers{}, fmt.Errorf("follow front proxy authority: %w", err)
	}
	names := headerrequest.NewRequestHeaderAuthRequestController(authConfigMap, metav1.NamespaceSystem, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")
	return headers{ConfigMapCAController: authority, RequestHeaderAuthRequestController: names}, nil
}

func (h headers) config() *authenticatorfactory.RequestHeaderConfig {
	provide := func(get func() []string) headerrequest.StringSliceProvider {
		return headerrequest.StringSliceProviderFunc(get)
	}
	return &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider: h.ConfigMapCAController,
		UsernameHeaders:   provide(h.UsernameHeaders), UIDHeaders: provide(h.UIDHeaders),
		GroupHeaders:        provide(h.GroupHeaders),
		ExtraHeaderPrefixes: provide(h.ExtraHeaderPrefixes), AllowedClientNames: provide(h.AllowedClientNames),
	}
}

func delegatedAuthorizer(client kubernetes.Interface, backoff wait.Backoff) (authorizer.Authorizer, error) {
	health, err := path.NewAuthorizer([]string{"/healthz", "/livez", "/readyz"})
	if err != nil {
		return nil, fmt.Errorf("make authorizer: %w", err)
	}
	asked, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             tokenCache, DenyCacheTTL: tokenCache, WebhookRetryBackoff: &backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("make authorizer: %w", err)
	}
	return union.New(
		union.NamedAuthorizer{AuthorizerName: "kubernetes.io/always-allow-paths", Authorizer: health},
		union.NamedAuthorizer{AuthorizerName: "kubernetes.io/webhook", Authorizer: asked},
	)
}
