// Package embedded holds the suites of this folder, so that `llmlimit run` needs no
// file. The folder's tree is their table of contents.
package embedded

import "embed"

// Suites holds every suite file under its path in this folder.
//
//go:embed *.yaml *.json */*.yaml
var Suites embed.FS
