package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/version"
)

const (
	reportAPI = "/apis/system.kdoctor.io/v1beta1"
	taskAPI   = "/apis/kdoctor.io/v1beta1"
	// pathsPerPage is how many single paths are asked for at a time.
	pathsPerPage = 500
)

// client reads what the plugin shows.
type client struct {
	rest rest.Interface
}

// newClient returns a client of the cluster that the flags choose. What the API server warns of goes to warnings.
func newClient(flags *genericclioptions.ConfigFlags, warnings io.Writer) (*client, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to ask; set --kubeconfig, --context or KUBECONFIG: %w", err)
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.UserAgent = "kubectl-kdoctor/" + version.Release()
	config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
	api, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	return &client{rest: api}, nil
}

// get returns the object as the API server sent it; with an error, what it sent instead.
func (c *client) get(ctx context.Context, path string) ([]byte, error) {
	return c.getWith(ctx, path, nil)
}

// getWith does the same with parameters.
func (c *client) getWith(ctx context.Context, path string, parameters map[string]string) ([]byte, error) {
	request := c.rest.Get().AbsPath(path).SetHeader("Accept", "application/json")
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	raw, err := request.Do(ctx).Raw() // unlike DoRaw it shows warnings
	if err != nil {
		return raw, fmt.Errorf("get %s: %w", path, err)
	}
	return raw, nil
}

// report returns the report of the task's last finished round, or that of another one, or an error that says what to
// do.
func (c *client) report(ctx context.Context, of kind.Kind, task string, round int64) ([]byte, error) {
	name := of.ReportPrefix() + task
	if round > 0 {
		name += ":" + strconv.FormatInt(round, 10)
	}
	raw, err := c.get(ctx, reportAPI+"/kdoctorreports/"+url.PathEscape(name))
	switch {
	case err == nil:
		return raw, nil
	case round > 0 && apierrors.IsNotFound(err):
		// The API knows which rounds are stored, and says so.
		var status metav1.Status
		if json.Unmarshal(raw, &status) == nil && status.Message != "" {
			return nil, errors.New(status.Message)
		}
		return nil, c.explainMissing(ctx, of, task)
	case apierrors.IsNotFound(err):
		return nil, c.explainMissing(ctx, of, task)
	default:
		return nil, explain(err, of)
	}
}

// paths calls page with the single paths of a report that the selector matches, one page after the other.
func (c *client) paths(ctx context.Context, of kind.Kind, selector fields.Selector,
	page func(systemv1beta1.KdoctorPathList) error) error {
	parameters := map[string]string{"fieldSelector": selector.String(), "limit": strconv.Itoa(pathsPerPage)}
	for {
		raw, err := c.getWith(ctx, reportAPI+"/kdoctorpaths", parameters)
		if err != nil {
			return explainPaths(raw, err, of)
		}
		var list systemv1beta1.KdoctorPathList
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("single paths cannot be read; are plugin and controller of the same release? %w", err)
		}
		if err := page(list); err != nil {
			return err
		}
		if list.Continue == "" {
			return nil
		}
		parameters["continue"] = list.Continue
	}
}

// explainPaths adds what to do about an error of the list of single paths.
func explainPaths(raw []byte, err error, of kind.Kind) error {
	var status metav1.Status
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not read single paths; ask for list on kdoctorpaths.system.kdoctor.io: %w", err)
	case json.Unmarshal(raw, &status) == nil && status.Message != "" &&
		(status.Code == http.StatusNotFound || status.Code == http.StatusGone):
		// The round went meanwhile, and the API says so.
		return errors.New(status.Message)
	}
	return explain(err, of)
}

// explainMissing finds out why there is no report: no such API, no such task, or no finished round yet.
func (c *client) explainMissing(ctx context.Context, of kind.Kind, task string) error {
	if _, err := c.get(ctx, reportAPI); apierrors.IsNotFound(err) {
		return errors.New("this cluster has no API for kdoctor's reports; install the chart, or choose another " +
			"cluster with --context")
	} else if err != nil {
		return explain(err, of)
	}
	raw, err := c.get(ctx, taskAPI+"/"+of.Plural+"/"+url.PathEscape(task))
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no %s %q; kubectl get %s lists them", of.Name, task, of.Singular())
	case err != nil:
		return explain(err, of)
	}
	object := of.New()
	if err := json.Unmarshal(raw, object); err != nil {
		return fmt.Errorf("read %s %q: %w", of.Name, task, err)
	}
	found, err := of.Read(object)
	if err != nil {
		return err
	}
	describe := fmt.Sprintf("kubectl describe %s %s", of.Singular(), task)
	if len(found.Status.History) == 0 {
		return fmt.Errorf("%s %q has no report yet, and no round has begun; %s tells when one does", of.Name, task,
			describe)
	}
	latest := found.Status.History[0]
	if latest.Status == v1beta1.RecordOngoing {
		return fmt.Errorf("%s %q has no report yet: round %d is under way and over by %s at the latest; ask again then",
			of.Name, task, latest.RoundNumber, latest.DeadLineTimeStamp.UTC().Format("15:04:05 UTC"))
	}
	return fmt.Errorf("%s %q has no report; its latest round %d is %s; %s tells more",
		of.Name, task, latest.RoundNumber, latest.Status, describe)
}

// explain adds what to do about it.
func explain(err error, of kind.Kind) error {
	var status apierrors.APIStatus
	var dial net.Error
	switch {
	case apierrors.IsTimeout(err):
		return fmt.Errorf("the store of rounds does not answer; see the controller's log, or ask again: %w", err)
	case apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("kdoctor's reports are out of reach; kubectl get apiservice v1beta1.system.kdoctor.io says why: %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not read kdoctor's reports; ask for get on kdoctorreports.system.kdoctor.io and "+
			"%s.kdoctor.io: %w",
			of.Plural, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster does not know you; log in again or choose another user with --user: %w", err)
	case errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError:
		return fmt.Errorf("the API server failed; kubectl get apiservice v1beta1.system.kdoctor.io reports whether "+
			"kdoctor's part of it works: %w", err)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.As(err, &dial):
		return fmt.Errorf("the cluster cannot be reached; is it the right one (--context, --kubeconfig)? %w", err)
	default:
		return err
	}
}
