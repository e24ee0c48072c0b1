package part

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/bench/internal/behind"
	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/study"
)

const (
	// faultRounds is how many rounds the part has at most, trialLoads and controlLoads how many loads one run has of
	// each: every port of the Service is a trial of each load.
	faultRounds, trialLoads, controlLoads = 5, 20, 5
	// probes is how many requests a trial has, all over new connections and within a second.
	probes = 10
	// oneOf is how many segments there are for one that is lost; lossRate, lossPorts and lossLength are the load
	// meanwhile.
	oneOf, lossRate, lossPorts = 100, 20, 50
	lossLength                 = 10 * time.Second
	// settleWithin is how long kube-proxy may take until all pods answer on all ports.
	settleWithin = time.Minute
)

// faulty is the cluster while the part runs.
type faulty struct{ *behind.Cluster }

// faults asks whether faults behind a real kube-proxy are found: goal G15. A probe meets the one silent pod of three
// with a probability of a third, ten probes meet it with 1-(2/3)^10 = 98.3 %.
func faults() Part {
	f := &faulty{}
	// A load of one second takes half a second more; the mean of the three contestants is what a run takes.
	length := ((trialLoads+controlLoads)*3/2*time.Second + lossLength) / 3
	p := Part{Name: "faults", Title: "faults behind a Service of three pods in the lab", MostRounds: faultRounds,
		Length: length,
		Shared: true, Prepare: f.prepare}
	p.Contestants = []Contestant{{Name: "silent pod", Run: f.silent}, {Name: "no fault", Run: f.well},
		{Name: "loss", Run: f.loss}}
	share := func(goal, of, what, value, trials string, more bool, bound float64, note string) {
		p.Goals = append(p.Goals,
			study.Goal{Name: goal, What: what, Part: p.Name, Value: value, Of: of, Share: trials, More: more,
				Bound: bound, Unit: "%", Note: note})
	}
	share("G15", "silent pod", "1 of 3 pods silent: found by 10 probes", "blamed", "trials", true, 98,
		"a trial has 10 probes of a port, and has found the pod when one fails")
	share("G15", "no fault", "no fault: blamed by 10 probes", "blamed", "trials", false, 0, "")
	share("", "silent pod", "1 of 3 pods silent: probes that fail", "failed", "sent", false, 0, "")
	share("G15", "loss", "1 % loss: requests that succeed", "requests", "sent", true, 100, "")
	share("", "loss", "1 % loss: segments dropped", "dropped", "seen", false, 0, "")
	p.Goals = append(p.Goals,
		study.Goal{Name: "G15", What: "1 % loss: segments sent again, off what was dropped by", Part: p.Name,
			Value: "off by", Of: "loss", Bound: 0,
			Note: "dropped at the pods' node, and counted there, is what a client has to send again: segments with " +
				"data and those that open a connection; " +
				"sent again is what TCP_INFO tells of all connections"},
		study.Goal{What: "1 % loss: segments dropped in a round", Part: p.Name, Value: "dropped", Of: "loss"},
		study.Goal{What: "1 % loss: segments sent again in a round", Part: p.Name, Value: "sent again", Of: "loss"})
	return p
}

// prepare brings the cluster up, and waits until all pods answer on all ports twice in a row.
func (f *faulty) prepare(ctx context.Context, programs Programs) (done func(context.Context) error, err error) {
	if f.Cluster, err = behind.Up(ctx, programs.Lab, programs.Image); err != nil {
		return nil, err
	}
	if err := f.settle(ctx, programs); err != nil {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneWithin)
		defer cancel()
		return nil, errors.Join(err, f.Down(detached))
	}
	return f.Down, nil
}

func (f *faulty) settle(ctx context.Context, programs Programs) error {
	until := time.Now().Add(settleWithin)
	for good := 0; good < 2; {
		said, err := f.drive(ctx, programs, behind.Ports, 2, time.Second, time.Second)
		if good++; err != nil || said.OK != said.Scheduled || said.Pods != behind.Pods {
			good = 0
		}
		if good == 0 && (ctx.Err() != nil || time.Now().After(until)) {
			return errors.Join(err,
				fmt.Errorf("the Service does not answer: %d of %d requests, from %d pods: %v", said.OK, said.Scheduled,
					said.Pods, said.Failures))
		}
	}
	return nil
}

// drive makes a load over new connections to the first ports of the Service.
func (f *faulty) drive(ctx context.Context, programs Programs, ports, rate int, length,
	timeout time.Duration) (message.Load, error) {
	_, said, err := heardLoad(ctx,
		f.Drive(programs.Driver, "-host="+f.Service, "-port="+strconv.Itoa(behind.FirstPort), "-targets="+
			strconv.Itoa(ports),
			"-rate="+strconv.Itoa(rate), "-connection=new", "-timeout="+timeout.String(), whole(length)))
	return said, err
}

// trials makes so many loads of one trial on each port.
func (f *faulty) trials(ctx context.Context, programs Programs, loads int) (Values, error) {
	v := Values{}
	for range loads {
		said, err := f.drive(ctx, programs, behind.Ports, probes, time.Second, 500*time.Millisecond)
		if err != nil {
			return nil, err
		}
		for outcome, count := range said.Failures {
			v["failed by "+outcome] += float64(count)
		}
		v["trials"] += float64(said.Whole)
		v["blamed"] += float64(said.Blamed)
		v["sent"] += float64(said.Sent)
		v["failed"] += float64(said.Sent - said.OK)
	}
	return v, nil
}

func (f *faulty) silent(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
	if err := f.Silence(ctx); err != nil {
		return rig.Finished{}, nil, err
	}
	v, err := f.trials(ctx, programs, trialLoads)
	return rig.Finished{}, v, errors.Join(err, f.Heal(ctx))
}

func (f *faulty) well(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
	v, err := f.trials(ctx, programs, controlLoads)
	return rig.Finished{}, v, err
}

func (f *faulty) loss(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
	if err := f.Lose(ctx, oneOf); err != nil {
		return rig.Finished{}, nil, err
	}
	said, err := f.drive(ctx, programs, lossPorts, lossRate, lossLength, 10*time.Second)
	if err := errors.Join(err, f.Heal(ctx)); err != nil {
		return rig.Finished{}, nil, err
	}
	seen, dropped, err := f.Counted(ctx)
	if err != nil {
		return rig.Finished{}, nil, err
	}
	again := said.Retransmits
	return rig.Finished{},
		Values{"sent": float64(said.Sent), "requests": float64(said.OK), "seen": float64(seen),
			"dropped": float64(dropped), "sent again": float64(again),
			"off by": float64(max(again, dropped) - min(again, dropped))}, nil
}
