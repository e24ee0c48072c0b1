// Package types hides in a folder with a better name.
package types
