package target

// Speech is what a protocol can do, as far as probers and the judgement need to know.
type Speech struct {
	Protocol Protocol
	// Scheme is the scheme of the URLs of targets. Port reports that the URL must name a port, because the protocol has
	// no default port.
	Scheme string
	Port   bool
	// Secure reports that the other side proves its identity by a certificate.
	Secure bool
	// Persistent reports that several requests can go over one connection.
	Persistent bool
	// Answers reports that a program answers, and that its answer has a body and names its pod. Otherwise the other
	// side's kernel answers: an agent there limits nothing, and nobody knows which pod it was.
	Answers bool
}

// Protocols returns the table of all protocols that this release speaks.
func Protocols() []Speech {
	return []Speech{
		{Protocol: HTTP, Scheme: "http", Persistent: true, Answers: true},
		{Protocol: HTTPS, Scheme: "https", Secure: true, Persistent: true, Answers: true},
		{Protocol: HTTP2, Scheme: "https", Secure: true, Persistent: true, Answers: true},
		{Protocol: TCP, Scheme: "tcp", Port: true},
	}
}

// Speech returns the row of the protocol, and whether this release speaks it. A protocol that this release does not
// speak, such as the empty one of an older round, has the row of HTTP.
func (p Protocol) Speech() (Speech, bool) {
	rows := Protocols()
	for _, row := range rows {
		if row.Protocol == p {
			return row, true
		}
	}
	return rows[0], false
}

// Persistent reports whether several requests can go to the target over one connection.
func (t *Target) Persistent() bool { return t.speech().Persistent }

// Answers reports whether a program answers at the target, rather than a kernel; see Speech.
func (t *Target) Answers() bool { return t.speech().Answers }

// Secure reports whether the other side proves its identity by a certificate.
func (t *Target) Secure() bool { return t.speech().Secure }

func (t *Target) speech() Speech {
	row, _ := t.Protocol.Speech()
	return row
}
