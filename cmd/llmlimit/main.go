// Command llmlimit proves that a token limiter keeps its promises.
//
// It bundles a limiting reverse proxy (`llmlimit serve`), a mock LLM backend
// (`llmlimit mock-backend`) and a scenario runner (`llmlimit run`) that judges any
// gateway from outside. This package is the only home of flags, the environment,
// signals, the terminal and the process's exit.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
