// Package other is not named after its folder.
package other
