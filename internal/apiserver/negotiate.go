package apiserver

import (
	"context"
	"net/http"
	"slices"

	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// textFormats are the formats in which our kinds can be written: JSON and YAML. Our kinds have no form in protobuf, so
// a caller who prefers protobuf and also takes JSON gets JSON.
type textFormats struct{ runtime.NegotiatedSerializer }

// SupportedMediaTypes returns what the library supports, without protobuf.
func (f textFormats) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(f.NegotiatedSerializer.SupportedMediaTypes()),
		func(info runtime.SerializerInfo) bool { return info.MediaType == runtime.ContentTypeProtobuf })
}

// lineKey marks the context of a request whose answer is a table or metadata alone.
type lineKey struct{}

func lineIsEnough(ctx context.Context) bool { return ctx.Value(lineKey{}) != nil }

// handlerChain returns the library's chain, with what concerns one request put into its context: whether a line is
// enough, and how long the request may wait for the store.
func handlerChain(formats runtime.NegotiatedSerializer) func(http.Handler, *genericapiserver.Config) http.Handler {
	// The library negotiates with the same scope: all its storages convert to tables.
	scope := &handlers.RequestScope{Serializer: formats, MetaGroupVersion: metav1.SchemeGroupVersion,
		TableConvertor: rest.TableConvertor((*pathREST)(nil))}
	return func(api http.Handler, config *genericapiserver.Config) http.Handler {
		marked := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			ctx := withAllowance(req.Context())
			if wantsLine(req, scope) {
				ctx = context.WithValue(ctx, lineKey{}, true)
			}
			api.ServeHTTP(w, req.WithContext(ctx))
		})
		return closing(genericapiserver.DefaultBuildHandlerChain(marked, config))
	}
}

// closing closes the connection of each request after its answer. The API server otherwise keeps one to a leader that
// is gone, and everybody who reads reports waits until its checks of the connection fail, which takes 45 s.
func closing(chain http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "close")
		chain.ServeHTTP(w, req)
	})
}

// wantsLine reports whether the answer to the request will be a table without objects, or metadata alone. The library
// makes the answer by the same negotiation.
func wantsLine(req *http.Request, scope *handlers.RequestScope) bool {
	chosen, _, err := negotiation.NegotiateOutputMediaType(req, scope.Serializer, scope)
	if err != nil || chosen.Convert == nil {
		return false
	}
	if chosen.Convert.Kind != "Table" {
		return true
	}
	var options metav1.TableOptions
	err = metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion,
		&options)
	return err == nil && options.IncludeObject != metav1.IncludeObject
}
