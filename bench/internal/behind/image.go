package behind

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// imageOf is the name of the image in an archive as Docker makes them.
func imageOf(archive string) (string, error) {
	file, err := os.Open(archive) // #nosec G304 -- the caller's own archive
	if err != nil {
		return "", fmt.Errorf("open the image of the agents: %w", err)
	}
	defer file.Close()
	name, err := imageIn(file)
	if err != nil {
		return "", fmt.Errorf("read the name of the image in %s: %w", archive, err)
	}
	return name, nil
}

func imageIn(in io.Reader) (string, error) {
	const manifest, most = "manifest.json", 1 << 20
	files := tar.NewReader(in)
	for {
		header, err := files.Next()
		if err != nil {
			return "", fmt.Errorf("find %s: %w", manifest, err)
		}
		if header.Name != manifest {
			continue
		}
		var images []struct{ RepoTags []string }
		if err := json.NewDecoder(io.LimitReader(files, most)).Decode(&images); err != nil {
			return "", fmt.Errorf("read %s: %w", manifest, err)
		}
		if len(images) == 0 || len(images[0].RepoTags) == 0 {
			return "", errors.New("it has none")
		}
		return images[0].RepoTags[0], nil
	}
}
