// Package epoll waits for sockets in one loop, and reads and writes these sockets, for threads that serve many
// connections without a goroutine for each. It is for Linux.
//
// A Poller belongs to one thread. Its calls do not tell the runtime's scheduler where the scheduler would only cost
// time, and make no garbage.
package epoll
