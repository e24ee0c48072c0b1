package main

import (
	"errors"
	"fmt"

	"os"
	"path/filepath"

	"github.com/go-logr/logr"

	"kdoctor.io/kdoctor/internal/diagnose"
)

// maxRecordings bounds the folder of --record-dir, in files; rounds beyond that are not recorded.
const maxRecordings = 1000

// recorder writes what findings are made from into the folder, a file a round; nil where the folder is empty. A failure
// is logged, and keeps no round from being reported.
func recorder(folder string, log logr.Logger) func(diagnose.Recording) {
	if folder == "" {
		return nil
	}
	return func(r diagnose.Recording) {
		if err := record(folder, r); err != nil {
			log.Error(err, "a round is not recorded", "round", r.Round.Key.String())
		}
	}
}

// record writes the recording into a file named after the task and the round.
func record(folder string, r diagnose.Recording) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("read --record-dir: %w", err)
	}
	if len(files) >= maxRecordings {
		return fmt.Errorf("--record-dir %s has %d files, the most there may be", folder, len(files))
	}
	key := r.Round.Key
	name := fmt.Sprintf("%s-%d-%04d.json.gz", r.Round.Task.Name, key.Generation, key.Round)
	file, err := os.Create(filepath.Join(folder, filepath.Base(name)))
	if err != nil {
		return fmt.Errorf("record a round: %w", err)
	}
	return errors.Join(r.Write(file), file.Close())
}
