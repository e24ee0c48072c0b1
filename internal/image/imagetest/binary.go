// Package imagetest makes programs for tests of images, small enough to look at.
package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"kdoctor.io/kdoctor/internal/image"
)

// Binary writes the smallest file that is a program for the architecture, and returns its path; with a loader, it is
// not a static one.
func Binary(t *testing.T, arch string, loader bool) string {
	t.Helper()
	const headerSize, programSize = 64, 56
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(image.Machine(arch)), Version: 1,
		Ehsize: headerSize, Phentsize: programSize}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64),
		byte(elf.ELFDATA2LSB), 1
	parts := []any{&header}
	if loader {
		header.Phoff, header.Phnum = headerSize, 1
		parts = append(parts, elf.Prog64{Type: uint32(elf.PT_INTERP)})
	}
	var file bytes.Buffer
	for _, part := range parts {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(to, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
