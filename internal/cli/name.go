package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/internal/kind"
)

// taskGroup and reportGroup follow the names of resources in "kubectl get -o name".
const (
	taskGroup   = ".kdoctor.io"
	reportGroup = ".system.kdoctor.io"
)

// reportWords are the spellings of the resource of reports.
func reportWords() []string { return []string{"kdoctorreport", "kdoctorreports"} }

// choice is one task that an argument may mean.
type choice struct {
	kind kind.Kind
	task string
}

func (c choice) String() string { return c.kind.Name + " " + c.task }

// choices are the tasks that an argument may mean. The task of that very name goes before the task whose report has the
// name.
type choices struct {
	arg             string
	named, byReport []choice
}

// parseTask reads the forms TASK, KIND/TASK and KIND-TASK, the last being the name of the task's report. KIND may be
// spelled as kubectl takes it, in letters of any case.
func parseTask(arg string, all []kind.Kind) (choices, error) {
	word, name, slashed := strings.Cut(arg, "/")
	c := choices{arg: arg}
	forms := fmt.Sprintf("TASK or %s/TASK", all[0].Singular())
	if !slashed {
		name = arg
	}
	if name == "" || strings.Contains(name, "/") {
		return choices{}, fmt.Errorf("%q names no task; use %s", arg, forms)
	}
	if strings.Contains(name, ":") {
		return choices{}, fmt.Errorf("%q names no task; use %s, and --round for an earlier round", arg, forms)
	}
	word = strings.ToLower(word)
	ofReports := slashed && slices.Contains(reportWords(), strings.TrimSuffix(word, reportGroup))
	for _, k := range all {
		spelled := strings.TrimSuffix(word, taskGroup)
		switch rest, prefixed := strings.CutPrefix(name, k.ReportPrefix()); {
		case slashed && !ofReports:
			if spelled == k.Singular() || spelled == k.Plural || slices.Contains(k.Short, spelled) {
				c.named = append(c.named, choice{k, name})
			}
			continue
		case prefixed && rest != "":
			c.byReport = append(c.byReport, choice{k, rest})
		}
		if !ofReports {
			c.named = append(c.named, choice{k, name})
		}
	}
	switch {
	case ofReports && len(c.byReport) == 0:
		return choices{}, fmt.Errorf("%q names no report of a task; use %s", arg, forms)
	case len(c.named)+len(c.byReport) == 0:
		return choices{}, fmt.Errorf("there are no reports of kind %q; use %s", word, forms)
	}
	return c, nil
}

// resolve asks the cluster which task is meant, where more than one may be. byReport reports that no task has the name,
// which is that of the task's report.
func (c choices) resolve(ctx context.Context, api *client) (chosen choice, byReport bool, err error) {
	if len(c.named) == 1 && len(c.byReport) == 0 {
		return c.named[0], false, nil
	}
	there, err := c.present(ctx, api, c.named)
	if err != nil {
		return choice{}, false, err
	}
	if len(there) == 0 && len(c.byReport) > 1 {
		if there, err = c.present(ctx, api, c.byReport); err != nil {
			return choice{}, false, err
		}
		byReport = true
	}
	switch {
	case len(there) > 1:
		var forms []string
		for _, t := range there {
			forms = append(forms, t.kind.Singular()+"/"+t.task)
		}
		return choice{}, false, fmt.Errorf("%q may mean %d tasks; use %s", c.arg, len(there), strings.Join(forms, " or "))
	case len(there) == 1:
		return there[0], byReport, nil
	case len(c.byReport) > 0:
		return c.byReport[0], true, nil
	}
	return c.named[0], false, nil
}

// present returns those of the tasks that are there.
func (c choices) present(ctx context.Context, api *client, all []choice) ([]choice, error) {
	var there []choice
	for _, one := range all {
		_, err := api.get(ctx, taskAPI+"/"+one.kind.Plural+"/"+url.PathEscape(one.task))
		switch {
		case err == nil:
			there = append(there, one)
		case apierrors.IsForbidden(err):
			return nil, fmt.Errorf("%q may mean several tasks, and you may not read them; use %s/TASK: %w", c.arg,
				one.kind.Singular(), err)
		case !apierrors.IsNotFound(err):
			return nil, explain(err, one.kind)
		}
	}
	return there, nil
}

// taskNames returns the names of all tasks, for completion.
func taskNames(ctx context.Context, api *client, all []kind.Kind) []string {
	var names []string
	for _, k := range all {
		raw, err := api.getWith(ctx, taskAPI+"/"+k.Plural, nil)
		var list metav1.PartialObjectMetadataList
		if err != nil || json.Unmarshal(raw, &list) != nil {
			continue
		}
		for i := range list.Items {
			names = append(names, list.Items[i].Name, k.Singular()+"/"+list.Items[i].Name)
		}
	}
	return names
}
