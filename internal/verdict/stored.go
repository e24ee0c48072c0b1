package verdict

import (
	"encoding/json"
	"fmt"
)

// UnmarshalJSON reads a judgement as Marshal wrote it, or as the first release stored it: there a void path had no data, and a mark.
func (p *Path) UnmarshalJSON(raw []byte) error {
	type plain Path
	var read struct {
		plain
		Void bool
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return fmt.Errorf("read the judgement of a path: %w", err)
	}
	*p = Path(read.plain)
	if read.Void {
		p.Result = Void
	}
	return nil
}

// UnmarshalJSON reads a judgement as Marshal wrote it, or as the first release stored it: there a void agent had no data, and a mark.
func (a *Agent) UnmarshalJSON(raw []byte) error {
	type plain Agent
	var read struct {
		plain
		Void bool
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return fmt.Errorf("read the judgement of an agent: %w", err)
	}
	*a = Agent(read.plain)
	if read.Void {
		a.Result = Void
	}
	return nil
}
