package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// readWithin bounds each way to read a report.
const readWithin = 30 * time.Second

// minutely is from how many nodes on the goals are about rounds that are one minute apart. Above roomy nodes they are
// roomySeconds apart: two processors that also simulate the agents take half a minute to hand out 5,000 plans, and
// four rounds are within the five minutes of the goal all the same.
const (
	minutely     = 1000
	roomy        = 2000
	roomySeconds = 75
)

// taskOf is the task that is measured with so many nodes: one round of the default load or, in large clusters, the
// first of several rounds of a minute. With more nodes than agents can probe in a minute a request is made for itself.
func taskOf(nodes int, fault fleet.Fault) *v1beta1.NetReach {
	task := &v1beta1.NetReach{ObjectMeta: metav1.ObjectMeta{Name: "scale-" + string(fault)},
		Spec: v1beta1.NetReachSpec{Schedule: &v1beta1.Schedule{RoundTimeoutMinute: 5},
			Request: &v1beta1.HTTPRequest{DurationInSecond: 10, QPS: 1}}}
	if nodes >= minutely {
		every := "0 1"
		task.Spec.Schedule = &v1beta1.Schedule{Schedule: &every, RoundNumber: 100, RoundTimeoutMinute: 1}
		task.Spec.Request.DurationInSecond = 30
	}
	if nodes > minutely {
		task.Spec.Request.Connection = v1beta1.NewConnection
	}
	if nodes > roomy {
		every := int32(roomySeconds)
		task.Spec.Schedule = &v1beta1.Schedule{IntervalInSecond: &every, RoundNumber: 100}
	}
	return task
}

// mostPerAgent is the limit of requests a second that the controller is given for each agent: the chart's, and in
// large clusters a hundred.
func mostPerAgent(nodes int) int {
	if nodes > minutely {
		return 100
	}
	return 5000
}

// round runs one round and reads its report in every way. Nothing that goes wrong with the controller is an error:
// it is part of the result.
func (b *bed) round(ctx context.Context, fault fleet.Fault) (Result, error) {
	r := Result{Nodes: b.options.Nodes, Fault: fault}
	if err := b.agents.setFault(ctx, fault); err != nil {
		return r, err
	}
	task := taskOf(b.options.Nodes, fault)
	kills := b.group.kills()
	if err := b.controller.resetPeak(); err != nil {
		return r, err
	}
	before, err := b.controller.cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := b.cluster.api.Create(ctx, task); err != nil {
		return r, fmt.Errorf("make the task: %w", err)
	}
	defer func() { _ = b.cluster.api.Delete(context.WithoutCancel(ctx), task) }()
	err = b.follow(ctx, task, &r, began)
	r.Killed = b.group.kills() - kills
	b.agentsOf(ctx, task, &r)
	b.look(&r)
	if err != nil {
		r.Lost = err.Error()
		return r, ctx.Err()
	}
	if after, err := b.controller.cpu(); err == nil {
		r.CPU = max(0, after-before)
	}
	r.Stored, err = stored(filepath.Join(b.reports, string(task.UID)))
	if err != nil {
		return r, err
	}
	b.read(ctx, task, &r)
	return r, nil
}

// follow waits until the round is over and its report is served, and fills in what the task and the report say.
func (b *bed) follow(ctx context.Context, task *v1beta1.NetReach, r *Result, began time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.Limit, fmt.Errorf("not within %v", b.options.Limit))
	defer cancel()
	giveUp := func(err error) error {
		if r.Restarts == mostRestarts {
			cancel()
		}
		return err
	}
	err := until(ctx, func() error {
		if err := b.revive(ctx, r); err != nil {
			return giveUp(err)
		}
		// A controller that is killed has no peak any more.
		b.look(r)
		if err := b.cluster.api.Get(ctx, client.ObjectKeyFromObject(task), task); err != nil {
			return err
		}
		if n := len(task.Status.History); n == 0 || task.Status.History[n-1].Status == v1beta1.RecordOngoing {
			return errOngoing
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, b.alive(), b.lastWords())
	}
	r.Took = since(began, time.Now())
	if raw, err := json.Marshal(task); err == nil {
		r.Status = len(raw)
	}
	r.of(task.Status.History[len(task.Status.History)-1])
	var raw []byte
	err = until(ctx, func() error {
		if err := b.revive(ctx, r); err != nil {
			return giveUp(err)
		}
		b.look(r)
		var err error
		asked := time.Now()
		raw, err = b.get(ctx, task)
		r.Get = Ran{Seconds: since(asked, time.Now()), Bytes: len(raw)}
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("the report is not served: %w", err), b.alive())
	}
	served := time.Now()
	r.After = since(b.agentsOf(ctx, task, r).Last, served)
	return fill(r, raw)
}

var (
	errDied    = errors.New("the controller died")
	errOngoing = errors.New("the round is not over")
)

// mostRestarts is how many times the controller is started again within one round.
const mostRestarts = 2

// revive starts a controller that died again, as the kubelet would, and fails where it dies again or for good.
func (b *bed) revive(ctx context.Context, r *Result) error {
	err := b.alive()
	if err == nil || r.Restarts == mostRestarts {
		return err
	}
	r.Restarts++
	b.say("%v; it is started again", err)
	return b.startController(ctx)
}

// alive returns how the controller died; nil while it runs.
func (b *bed) alive() error {
	if why := b.controller.died(); why != "" {
		return fmt.Errorf("%w: %s", errDied, why)
	}
	return nil
}

// look fills in the peak of the controller's memory so far.
func (b *bed) look(r *Result) {
	if peak, err := b.controller.memory("VmHWM"); err == nil {
		r.Peak = max(r.Peak, peak)
	}
}

// lastWords is the end of the controller's log.
func (b *bed) lastWords() error { return fmt.Errorf("its log ends with: %s", b.log.last()) }

// agentsOf fills in what the agents say of the task's first round, and returns it.
func (b *bed) agentsOf(ctx context.Context, task *v1beta1.NetReach, r *Result) (found fleet.Progress) {
	rounds, err := b.agents.rounds(ctx)
	at := slices.IndexFunc(rounds, func(p fleet.Progress) bool { return strings.Contains(p.Round, string(task.UID)) })
	if err != nil || at < 0 {
		return fleet.Progress{}
	}
	found = rounds[at]
	r.Agents, r.Paths, r.AgentsTook = found.Started, found.Paths, since(found.First, found.Last)
	return found
}

// get reads the report with a GET.
func (b *bed) get(ctx context.Context, task *v1beta1.NetReach) ([]byte, error) {
	one, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return b.raw.Get().AbsPath(reportsPath, reportName(task)).Do(one).Raw()
}

const reportsPath = "/apis/system.kdoctor.io/v1beta1/kdoctorreports"

func reportName(task *v1beta1.NetReach) string { return "netreach-" + task.Name }

// fill reads the report.
func fill(r *Result, raw []byte) error {
	var found struct {
		Spec struct {
			systemv1beta1.KdoctorReportSpec
			// Report is not of interest, and may be large.
			Report json.RawMessage
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &found); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	r.Reasons, r.Coverage = len(found.Spec.FailedReasons), found.Spec.Coverage
	r.NotReported = len(found.Spec.NotReported)
	if r.Reasons > 0 {
		r.FirstReason = found.Spec.FailedReasons[0]
	}
	for _, f := range found.Spec.Findings {
		r.Findings = append(r.Findings, Finding{f.Reason, f.Where})
	}
	return nil
}

// read reads the report as people do.
func (b *bed) read(ctx context.Context, task *v1beta1.NetReach, r *Result) {
	_ = b.controller.resetPeak()
	r.YAML = b.measured(ctx, b.options.Kubectl, "get", "kdoctorreport", reportName(task), "-o", "yaml")
	r.Plugin = b.measured(ctx, b.options.Plugin, "report", task.Name)
	if peak, err := b.controller.memory("VmHWM"); err == nil {
		r.ReadPeak = peak
	}
}

// measured runs a program by way of a small process.
func (b *bed) measured(ctx context.Context, command ...string) Ran {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return Ran{Failed: err.Error()}
	}
	cmd := exec.CommandContext(ctx, self, append([]string{Measured}, command...)...) // #nosec G204 -- this program
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.cluster.kubeconfig)
	// The program that is measured ends with the one that measures it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endPatience
	began := time.Now()
	out, err := cmd.Output()
	var r Ran
	if err := errors.Join(err, json.Unmarshal(out, &r)); err != nil {
		return Ran{Seconds: since(began, time.Now()), Failed: err.Error()}
	}
	return r
}

// stored is how many bytes the files of a folder have together.
func stored(folder string) (uint64, error) {
	var total uint64
	err := filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += uint64(info.Size()) // #nosec G115 -- a size
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure what is stored: %w", err)
	}
	return total, nil
}

// rawClient returns a client for requests without a kind.
func rawClient(config *rest.Config) (rest.Interface, error) {
	c, err := rest.UnversionedRESTClientFor(unversioned(config))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return c, nil
}
