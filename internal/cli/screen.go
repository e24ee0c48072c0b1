package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// pipeWidth is what lines are wrapped to where there is no terminal to ask.
const pipeWidth = 120

// NewScreen asks the file whether it is a terminal and how wide it is. Colour needs a terminal that can do it and no
// wish against it: NO_COLOR with any value, as no-color.org has it.
func NewScreen(out *os.File, errs io.Writer, env func(string) string) Screen {
	screen := Screen{Out: out, Err: errs, Width: pipeWidth}
	fd := int(out.Fd()) // #nosec G115 -- a file descriptor fits
	if !term.IsTerminal(fd) {
		return screen
	}
	if width, _, err := term.GetSize(fd); err == nil && width > 0 {
		screen.Width = width
	}
	screen.Color = env("NO_COLOR") == "" && env("TERM") != "dumb"
	return screen
}
