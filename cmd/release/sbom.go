package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/uuid"
)

// subject is what a list of components is about: an image, or a plugin's archive.
type subject struct {
	kind                             cdx.ComponentType
	name, version, purl, sha256, sys string
}

func imageSubject(program, name, version, arch string, digest v1.Hash) subject {
	repository := strings.TrimSuffix(name, ":"+version)
	return subject{kind: cdx.ComponentTypeContainer, name: repository, version: version, sha256: digest.Hex,
		sys: "linux/" + arch,
		purl: fmt.Sprintf("pkg:oci/%s@%s?arch=%s&repository_url=%s&tag=%s", program, url.QueryEscape(digest.String()), arch,
			url.QueryEscape(repository), url.QueryEscape(version))}
}

func pluginSubject(p Platform, version, sha256 string) subject {
	return subject{kind: cdx.ComponentTypeApplication, name: plugin, version: version, sha256: sha256, sys: p.String(),
		purl: fmt.Sprintf("pkg:generic/%s@%s?arch=%s&os=%s", plugin, version, p.Arch, p.OS)}
}

// bom writes the list of what is inside, in CycloneDX's form. It is read from the binary itself.
func (r *release) bom(file, binary string, s subject) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what is inside %s: %w", filepath.Base(binary), err)
	}
	digest, err := sum(binary)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	var buffer bytes.Buffer
	encoder := cdx.NewBOMEncoder(&buffer, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(components(s, info, digest, r.Version, r.Time), cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write the list of components: %w", err)
	}
	return os.WriteFile(filepath.Join(r.draft, file+".cdx.json"), buffer.Bytes(), 0o644)
}

// components lists the program, the modules that were linked into it, and Go's standard library. Its number follows
// from what it lists, so that the same program has the same one.
func components(s subject, info *debug.BuildInfo, binary, version string, at time.Time) *cdx.BOM {
	program := cdx.Component{BOMRef: "program", Type: cdx.ComponentTypeApplication, Name: info.Path, Version: version,
		PackageURL: golangPURL(info.Main.Path, version), Hashes: hashes(binary), Licenses: apache(),
		Properties: settings(info)}
	all := []cdx.Component{program}
	refs := []string{}
	for _, m := range append([]*debug.Module{{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}},
		info.Deps...) {
		for m.Replace != nil {
			m = m.Replace
		}
		purl := golangPURL(m.Path, m.Version)
		all = append(all, cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
			PackageURL: purl})
		refs = append(refs, purl)
	}
	bom := cdx.NewBOM()
	seed := sha256.Sum256([]byte(s.purl + " " + s.sha256 + " " + binary))
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, seed[:]).String()
	bom.Metadata = &cdx.Metadata{
		Timestamp: at.UTC().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: "subject", Type: s.kind, Name: s.name, Version: s.version, PackageURL: s.purl,
			Hashes: hashes(s.sha256), Licenses: apache(),
			Properties: &[]cdx.Property{{Name: "platform", Value: s.sys}}},
	}
	bom.Components = &all
	bom.Dependencies = &[]cdx.Dependency{{Ref: "subject", Dependencies: &[]string{"program"}},
		{Ref: "program", Dependencies: &refs}}
	return bom
}

// settings are those of the build, in the words that other lists of Go modules use.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	properties := []cdx.Property{{Name: "cdx:gomod:build:compiler:version", Value: info.GoVersion}}
	for _, s := range info.Settings {
		properties = append(properties, cdx.Property{Name: "cdx:gomod:build:env:" + s.Key, Value: s.Value})
	}
	return &properties
}

func hashes(sha256 string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256}}
}

func apache() *cdx.Licenses { return &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}} }

// golangPURL is the module's name in the package-URL form: a plus is no letter there.
func golangPURL(module, version string) string {
	return "pkg:golang/" + module + "@" + strings.ReplaceAll(version, "+", "%2B")
}
