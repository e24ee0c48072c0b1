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
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"kdoctor.io/kdoctor/internal/image"
	"kdoctor.io/kdoctor/internal/version"
)

// errVersion ends a run that was asked for the version alone.
var errVersion = errors.New("the version was printed")

// Options say which image is made.
type Options struct {
	// Spec has the image's name with its tag, and the absolute path of the program in the image. A name without a
	// registry gets the default one, as containerd wants it inside the file.
	Spec image.Spec
	// Archs are the architectures, each amd64 or arm64, and Sources the binaries for them on this machine.
	Archs, Sources []string
	// Docker is the architecture that docker without containerd's image store loads from the file.
	Docker string
	// Out is the file to write.
	Out string
}

// parse reads the arguments; the usage, when it is asked for or needed, goes to the writer.
func parse(args []string, usage io.Writer) (Options, error) {
	var o Options
	var binaries []string
	var archs string
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&o.Spec.Name, "name", "", "name and tag of the image, such as kdoctor/agent:0.1.0")
	flags.Func("binary", "static binary and its path in the image, such as .build/bin/kdoctor-agent=/kdoctor-agent; "+
		"once for each architecture, in the order of --arch", func(value string) error {
		binaries = append(binaries, value)
		return nil
	})
	flags.StringVar(&archs, "arch", runtime.GOARCH, "architectures that the binaries are for: amd64, arm64, or both "+
		"with a comma")
	flags.StringVar(&o.Docker, "docker", "", "architecture that docker without containerd's image store loads from "+
		"the file; the first of --arch unless said")
	flags.StringVar(&o.Out, "out", "", "file to write")
	flags.Int64Var(&o.Spec.MaxBytes, "max-bytes", 0, "fail when the image of an architecture is larger than this many "+
		"bytes; 0 is no limit")
	asked := flags.Bool("version", false, "print the release and end")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if *asked {
		fmt.Fprintln(usage, version.Line("mkimage"))
		return Options{}, errVersion
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("%q is not a flag; every argument has a name", flags.Arg(0))
	}
	// The file stays the same when the program does.
	o.Spec.Created = time.Unix(0, 0).UTC()
	o.Archs = strings.Split(archs, ",")
	if o.Docker == "" {
		o.Docker = o.Archs[0]
	}
	misplaced := o.place(binaries)
	o, err := o.Validate()
	return o, errors.Join(misplaced, err)
}

// place takes the binaries' files, and the one path that they have in the image.
func (o *Options) place(binaries []string) error {
	if len(binaries) != len(o.Archs) {
		return fmt.Errorf("--binary is given %d times for %d architectures in --arch; give one binary for each",
			len(binaries), len(o.Archs))
	}
	for _, binary := range binaries {
		source, target, _ := strings.Cut(binary, "=")
		if source == "" || !path.IsAbs(target) || path.Clean(target) != target || target == "/" {
			return fmt.Errorf("--binary must be a file, =, and its absolute path in the image; it is %q", binary)
		}
		if o.Spec.Target != "" && target != o.Spec.Target {
			return fmt.Errorf("--binary has the paths %s and %s; all architectures have one", o.Spec.Target, target)
		}
		o.Sources, o.Spec.Target = append(o.Sources, source), target
	}
	return nil
}

// Validate returns the options with the image's name in full, or an error that names every flag that is wrong.
func (o Options) Validate() (Options, error) {
	var wrong []error
	tag, err := name.NewTag(o.Spec.Name)
	if err == nil && !strings.HasSuffix(o.Spec.Name, ":"+tag.TagStr()) {
		err = errors.New("there is no tag")
	}
	if err == nil {
		o.Spec.Name = image.FullName(tag)
	} else {
		wrong = append(wrong, fmt.Errorf("--name %q must be a name with a tag: %w", o.Spec.Name, err))
	}
	known := image.Architectures()
	for i, arch := range o.Archs {
		if !slices.Contains(known, arch) || slices.Contains(o.Archs[:i], arch) {
			wrong = append(wrong, fmt.Errorf("--arch has %q; use %s, each once", arch, strings.Join(known, " and ")))
		}
	}
	if !slices.Contains(o.Archs, o.Docker) {
		wrong = append(wrong, fmt.Errorf("--docker is %q; use one that --arch has", o.Docker))
	}
	if o.Out == "" {
		wrong = append(wrong, errors.New("--out is missing"))
	}
	if o.Spec.MaxBytes < 0 {
		wrong = append(wrong, fmt.Errorf("--max-bytes is %d; use 0 (no limit) or more", o.Spec.MaxBytes))
	}
	return o, errors.Join(wrong...)
}
