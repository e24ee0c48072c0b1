package ladderprobe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/ladder"
)

// askTCP opens a connection, and for HTTP sends one request over it that belongs to no round.
func askTCP(ctx context.Context, spec ladder.Spec) attempt {
	dialer := net.Dialer{}
	if spec.SourcePort != 0 {
		dialer.LocalAddr = &net.TCPAddr{Port: int(spec.SourcePort)}
	}
	began := time.Now()
	conn, err := dialer.DialContext(ctx, "tcp", spec.Address.String())
	if err != nil {
		return failed(err, false)
	}
	defer func() { _ = conn.Close() }()
	got := attempt{retried: retried(conn)}
	if spec.Method == ladder.HTTP {
		defer until(ctx, conn)()
		peer, failure := request(conn, spec)
		if failure.failure != "" || failure.err != nil {
			return failure
		}
		got.peer = peer
	}
	got.took = time.Since(began)
	return got
}

// request sends an HTTP request and returns who answered, where any pod may.
func request(conn net.Conn, spec ladder.Spec) (peer string, failure attempt) {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", spec.Address); err != nil {
		return "", failed(err, true)
	}
	const most = echo.MaxBodyBytes + 8<<10
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, most)), nil)
	if err != nil {
		return "", replied(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", replied(err)
	}
	who, err := echo.ParseAnswer(body)
	switch {
	case err != nil || answer.StatusCode != http.StatusOK:
		return "", attempt{failure: ladder.BadReply}
	case spec.Peer != "" && who.Kdoctor.Pod != spec.Peer:
		return "", attempt{failure: ladder.WrongPeer, peer: who.Kdoctor.Pod}
	case spec.Peer != "":
		return "", attempt{}
	}
	return who.Kdoctor.Pod, attempt{}
}

// replied returns the attempt whose reply could not be read: what is no error of the connection is no HTTP.
func replied(err error) attempt {
	if got := failed(err, true); got.err == nil {
		return got
	}
	return attempt{failure: ladder.BadReply}
}
