package probetest

import (
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refusing runs the function on a thread on which connect(2) returns the error number, as where a policy of the node
// refuses. The thread ends with the function.
func refusing(t *testing.T, errno syscall.Errno, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		defer close(done)
		// The goroutine stays locked, so that the runtime ends its thread.
		runtime.LockOSThread()
		if err := refuse(errno); err != nil {
			done <- err
			return
		}
		do()
	}()
	if err := <-done; err != nil {
		t.Fatalf("refuse connections on a thread: %v", err)
	}
}

func refuse(errno syscall.Errno) error {
	const number = 0 // where struct seccomp_data has the call's number
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_CONNECT},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}, // #nosec G115 -- a small number
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} // #nosec G115 -- four
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0,
		0) // #nosec G103 -- the kernel reads it
}
