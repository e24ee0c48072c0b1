// Package docs holds the tests of pages: what people read is kept in step by the same gate as the code.
package docs
