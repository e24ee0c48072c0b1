// Package engine makes many attempts at a fixed pace, over plain HTTP/1.1 or by connecting alone. It is scheduler and
// prober in one, for Linux.
//
// Targets are spread over shards. A shard is one thread with its own epoll set. The thread opens sockets when attempts
// are due, reads what arrives and keeps the deadlines, without a goroutine, a timer or garbage for each attempt.
// Packages load and httpprobe decide when attempts are due, which are missed and what an answer means, so that their
// reports and the engine's can stand side by side.
//
// An attempt over a persistent connection costs two system calls, a write and a read, and its share of a wait. The
// kernel stamps what it receives, so that the network's time is told apart from this process's time (probe.Sample.Own)
// however late the thread reads. A thread with much to do can therefore wake up at fixed moments instead of for each
// event (Engine.Grid).
package engine
