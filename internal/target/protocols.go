package target

// Speech is what a protocol can do, and what follows from it for those who probe and judge.
type Speech struct {
	Protocol Protocol
	// Scheme is the scheme of the URLs of targets. Port reports that the URL must name a port, for want of a usual one.
	Scheme string
	Port   bool
	// Secure reports that the other side proves itself by a certificate.
	Secure bool
	// Persistent reports that several requests can go over one connection.
	Persistent bool
	// Answers reports that a program answers, which says which pod it is in and has a body. Otherwise the other side's
	// kernel answers: an agent there is no limit, and nobody can tell which pod it was.
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

// Speech returns the row of the protocol, and whether this release speaks it. One that it does not, such as that of an
// older round, counts as HTTP.
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

// Secure reports whether the other side proves itself by a certificate.
func (t *Target) Secure() bool { return t.speech().Secure }

func (t *Target) speech() Speech {
	row, _ := t.Protocol.Speech()
	return row
}
