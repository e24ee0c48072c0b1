package reach

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/rest"
)

// maxAnswer bounds what is read of an answer, in bytes: one that is read to its end leaves its connection to the next.
const maxAnswer = 1 << 20

// Through returns a way to ask for the resources of an API group and version, such as system.kdoctor.io/v1beta1. The
// API server answers for groups itself, but passes this question on to whoever serves the version, and keeps no answer.
func Through(cluster *rest.Config, groupVersion string) (func(context.Context) Answer, error) {
	server, _, err := rest.DefaultServerUrlFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	asking, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", groupVersion, err)
	}
	address := server.JoinPath("apis", groupVersion).String()
	return func(ctx context.Context) Answer {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return Unclear
		}
		response, err := asking.Do(request)
		if err != nil {
			return Unreached
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)); err != nil {
			return Unreached
		}
		return meaning(response.StatusCode)
	}, nil
}

// meaning says what a status says of the way.
func meaning(code int) Answer {
	switch {
	case code == http.StatusOK:
		return Reached
	case code >= http.StatusInternalServerError:
		return Unreached
	}
	return Unclear
}
