package render

import (
	"slices"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Facts are what must be known of a round to say what its task's status says of it.
type Facts struct {
	Key    schedule.Key
	Passed bool
}

// FactsOf returns those of a round.
func FactsOf(stored verdict.StoredRound) Facts {
	return Facts{Key: stored.Round.Key, Passed: stored.Verdict.Result == verdict.Pass}
}

// head is the report without anything but what the task and the facts tell.
func head(task ReportedTask, facts Facts) *systemv1beta1.KdoctorReport {
	done, failed := task.DoneRounds, task.FailedRounds
	if facts.Key.Generation == task.Generation {
		// A round is stored a moment before the task's status tells of it.
		done = max(done, facts.Key.Round)
		if !facts.Passed && !slices.Contains(failed, facts.Key.Round) {
			failed = append(slices.Clone(failed), facts.Key.Round)
			slices.Sort(failed)
		}
	}
	r := Bare(task)
	r.Spec.ReportRoundNumber = facts.Key.Round
	r.Spec.FinishedRoundNumber = done
	r.Spec.FailedRoundNumber = failed
	return r
}

// Update returns the report as Report would render it of the same round after its task changed. It reads no round, and
// leaves the report as it is.
func Update(r *systemv1beta1.KdoctorReport, task ReportedTask, facts Facts) *systemv1beta1.KdoctorReport {
	updated, fresh := *r, head(task, facts)
	updated.ObjectMeta = fresh.ObjectMeta
	updated.Spec.Status = fresh.Spec.Status
	updated.Spec.RoundNumber = fresh.Spec.RoundNumber
	updated.Spec.ReportRoundNumber = fresh.Spec.ReportRoundNumber
	updated.Spec.FinishedRoundNumber = fresh.Spec.FinishedRoundNumber
	updated.Spec.FailedRoundNumber = fresh.Spec.FailedRoundNumber
	return &updated
}

// Of is the summary after the task of the same round changed.
func (s Summary) Of(task ReportedTask, facts Facts) Summary {
	s.Round = rounds(facts.Key.Round, task.ExpectedRounds)
	return s
}
