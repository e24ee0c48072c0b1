package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"kdoctor.io/kdoctor/internal/image"
)

// The addresses that stand where nobody named one. Names below .invalid exist nowhere and never will.
const (
	noHome     = "https://kdoctor.example.invalid"
	noReleases = noHome + "/releases"
)

// Options say what is released.
type Options struct {
	// Version is the release's version with its v: v1.2.3.
	Version string
	// Source is the folder of the sources, Out the folder to write.
	Source, Out string
	// Registry is where the images' names begin, such as registry.example.com/kdoctor.
	Registry string
	// ReleaseURL is the address below which people find the files, in a folder named after the version; HomeURL is the
	// project's page.
	ReleaseURL, HomeURL string
	// Time is the time that all files have: the commit's.
	Time time.Time
	// Revision is the commit; empty is not known.
	Revision string
	// Linker has the linker's flags, for all programs.
	Linker string
	// AgentBytes is the largest size of the agent's image for one architecture, compressed; 0 is no limit.
	AgentBytes int64
}

// parse reads the arguments; the usage, when it is asked for or needed, goes to the writer.
func parse(args []string, usage io.Writer, getenv func(string) string) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&o.Version, "version", "", "version of the release, such as v1.2.3")
	flags.StringVar(&o.Source, "source", ".", "folder of the sources")
	flags.StringVar(&o.Out, "out", "dist", "folder to write; what an earlier run left there is replaced")
	flags.StringVar(&o.Registry, "registry", "docker.io/kdoctor", "registry and folder with which the images' names begin")
	flags.StringVar(&o.ReleaseURL, "release-url", noReleases, "address below which each version has a folder with its "+
		"files")
	flags.StringVar(&o.HomeURL, "home-url", noHome, "address of the project")
	flags.StringVar(&o.Revision, "revision", "", "commit of the sources; asked of git unless said")
	flags.StringVar(&o.Linker, "ldflags", "-s -w", "flags of the linker")
	flags.Int64Var(&o.AgentBytes, "agent-max-bytes", 0, "fail when the agent's image is larger than this many bytes; 0 "+
		"is no limit")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("%q is not a flag; every argument has a name", flags.Arg(0))
	}
	if epoch := getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return Options{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; use a number of seconds since 1970", epoch)
		}
		o.Time = time.Unix(seconds, 0).UTC()
	}
	return o, o.Validate()
}

// versionPattern is a semantic version with a v, without build metadata: the plus is no part of an image's tag.
const versionPattern = `^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)` +
	`(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?$`

// Validate returns an error that names every option that is wrong.
func (o Options) Validate() error {
	var wrong []error
	if !regexp.MustCompile(versionPattern).MatchString(o.Version) {
		wrong = append(wrong, fmt.Errorf("--version is %q; use a semantic version with a v, such as VERSION=v1.2.3 or "+
			"v1.2.3-rc.1", o.Version))
	}
	for flag, value := range map[string]string{"--release-url": o.ReleaseURL, "--home-url": o.HomeURL} {
		if u, err := url.Parse(value); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			wrong = append(wrong, fmt.Errorf("%s is %q; use an address such as https://example.com/kdoctor", flag, value))
		}
	}
	if _, err := name.NewTag(o.Registry + "/agent:1"); err != nil || o.Registry == "" ||
		strings.HasSuffix(o.Registry, "/") {
		wrong = append(wrong, fmt.Errorf("--registry is %q; use a registry and a folder, such as "+
			"registry.example.com/kdoctor", o.Registry))
	}
	if o.Out == "" || o.Source == "" {
		wrong = append(wrong, errors.New("--out and --source must be folders"))
	}
	if o.AgentBytes < 0 {
		wrong = append(wrong, fmt.Errorf("--agent-max-bytes is %d; use 0 (no limit) or more", o.AgentBytes))
	}
	return errors.Join(wrong...)
}

// fromGit asks git for what nobody said: time and commit. Both follow from the sources, never from the moment.
func (o Options) fromGit(ctx context.Context, warnings io.Writer) (Options, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", o.Source}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	if o.Time.IsZero() {
		seconds, err := git("log", "-1", "--format=%ct")
		if err != nil {
			return o, fmt.Errorf("ask git for the time of the commit: %w; set SOURCE_DATE_EPOCH where there is no git", err)
		}
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return o, fmt.Errorf("read the time of the commit: %w", err)
		}
		o.Time = time.Unix(n, 0).UTC()
	}
	if o.Revision != "" {
		return o, nil
	}
	revision, err := git("rev-parse", "HEAD")
	if err != nil {
		fmt.Fprintln(warnings, "release: git does not know the commit: images will not say which one they are made of")
		return o, nil
	}
	o.Revision = revision
	if changed, err := git("status", "--porcelain"); err != nil || changed != "" {
		fmt.Fprintf(warnings, "release: the sources differ from commit %.12s: nobody else can make these files\n", revision)
	}
	return o, nil
}

// unnamed reports whether an address is missing.
func (o Options) unnamed() bool {
	return strings.HasPrefix(o.ReleaseURL, noHome) || strings.HasPrefix(o.HomeURL, noHome)
}

// number is the version without its v, as charts and images have it.
func (o Options) number() string { return strings.TrimPrefix(o.Version, "v") }

// address is where people will find the file.
func (o Options) address(file string) string {
	return strings.TrimSuffix(o.ReleaseURL, "/") + "/" + o.Version + "/" + file
}

// imageName is the image's full name and tag.
func (o Options) imageName(program string) (string, error) {
	tag, err := name.NewTag(o.Registry + "/" + program + ":" + o.number())
	if err != nil {
		return "", fmt.Errorf("name the image: %w", err)
	}
	return image.FullName(tag), nil
}
