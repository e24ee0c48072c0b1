package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
)

func TestRoundsAreRecordedUpToABound(t *testing.T) {
	if recorder("", logr.Discard()) != nil {
		t.Error("without a folder something records")
	}
	folder := t.TempDir()
	want := diagnose.Recording{Round: report.Round{Key: schedule.Key{UID: "u", Generation: 2, Round: 7},
		Task: report.TaskRef{Name: "web"}}}
	write := recorder(folder, logr.Discard())
	write(want)
	file, err := os.Open(filepath.Join(folder, "web-2-0007.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	got, err := diagnose.ReadRecording(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Round.Key, got.Round.Key); diff != "" {
		t.Error(diff)
	}
	for i := range maxRecordings {
		if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want.Round.Key.Round++
	write(want)
	if _, err := os.Stat(filepath.Join(folder, "web-2-0008.json.gz")); !os.IsNotExist(err) {
		t.Errorf("a round beyond the bound: %v", err)
	}
}
