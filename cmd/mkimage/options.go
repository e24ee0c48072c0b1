package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Options say which image is made.
type Options struct {
	// Name is the image's name with its tag. A name without a registry gets the default one, as containerd wants it
	// inside the file.
	Name string
	// Source is the binary on this machine, Target its absolute path in the image, which is also the entrypoint.
	Source, Target string
	// Arch is the processor that the binary is for: amd64 or arm64.
	Arch string
	// Out is the file to write.
	Out string
	// MaxBytes is the largest size of the file, in bytes; 0 is no limit.
	MaxBytes int64
}

// parse reads the arguments; the usage, when it is asked for or needed, goes to the writer.
func parse(args []string, usage io.Writer) (Options, error) {
	var o Options
	var binary string
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&o.Name, "name", "", "name and tag of the image, such as kdoctor/agent:0.1.0")
	flags.StringVar(&binary, "binary", "", "static binary and its path in the image, such as "+
		".build/bin/kdoctor-agent=/kdoctor-agent")
	flags.StringVar(&o.Arch, "arch", runtime.GOARCH, "processor that the binary is for: amd64 or arm64")
	flags.StringVar(&o.Out, "out", "", "file to write")
	flags.Int64Var(&o.MaxBytes, "max-bytes", 0, "fail when the file is larger than this many bytes; 0 is no limit")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("%q is not a flag; every argument has a name", flags.Arg(0))
	}
	o.Source, o.Target, _ = strings.Cut(binary, "=")
	return o.Validate()
}

// Validate returns the options with the image's name in full, or an error that names every flag that is wrong.
func (o Options) Validate() (Options, error) {
	var wrong []error
	tag, err := name.NewTag(o.Name)
	if err == nil && !strings.HasSuffix(o.Name, ":"+tag.TagStr()) {
		err = errors.New("there is no tag")
	}
	if err == nil {
		o.Name = containerdName(tag)
	} else {
		wrong = append(wrong, fmt.Errorf("--name %q must be a name with a tag: %w", o.Name, err))
	}
	if o.Source == "" || !path.IsAbs(o.Target) || path.Clean(o.Target) != o.Target || o.Target == "/" {
		wrong = append(wrong,
			fmt.Errorf("--binary must be a file, =, and its absolute path in the image; it is %q and %q", o.Source,
				o.Target))
	}
	if !slices.Contains([]string{"amd64", "arm64"}, o.Arch) {
		wrong = append(wrong, fmt.Errorf("--arch is %q; use amd64 or arm64", o.Arch))
	}
	if o.Out == "" {
		wrong = append(wrong, errors.New("--out is missing"))
	}
	if o.MaxBytes < 0 {
		wrong = append(wrong, fmt.Errorf("--max-bytes is %d; use 0 (no limit) or more", o.MaxBytes))
	}
	return o, errors.Join(wrong...)
}

// containerdName spells the default registry as containerd does, which differs from the library's way; images under the
// library's spelling are not found.
func containerdName(tag name.Tag) string {
	host := tag.RegistryStr()
	if host == name.DefaultRegistry {
		host = strings.TrimPrefix(host, "index.")
	}
	return fmt.Sprintf("%s/%s:%s", host, tag.RepositoryStr(), tag.TagStr())
}
