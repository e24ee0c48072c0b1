package echo_test

import (
	"bytes"
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
)

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"kdoctor":{"installation":"a/b","pod":"c"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := echo.ParseAnswer(b)
		if err == nil && (a.Kdoctor.Pod == "" || len(a.Kdoctor.Pod) > echo.MaxPodBytes ||
			bytes.ContainsAny([]byte(a.Kdoctor.Pod), "\r\n ")) {
			t.Errorf("accepted pod %q", a.Kdoctor.Pod)
		}
	})
}
