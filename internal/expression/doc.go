// Package expression evaluates the expressions in step configuration:
// "${{ imageFrom('registry.example.com/app').Tag }}".
//
// The language is that of github.com/expr-lang/expr. What a Stage's author
// writes is bounded in every direction: the length of the source, the nodes of
// its tree, and the work and memory of its evaluation (a meter is woven into
// everything that can grow or repeat). The same text in the same Scope always
// gives the same value: nothing in it reads a clock.
package expression
