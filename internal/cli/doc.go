// Package cli is the command line client: waybill.
//
// Every command is a small file named after its verb. They share four things:
// App (streams, environment and clock of one run), the contexts of config.go,
// the printers of table.go and print.go, and exit.go, the only place that turns
// an error into text and an exit code. Data goes to standard output, everything
// else to standard error. The client talks to the server through api/client
// only; it decides nothing about promotions itself and prints the server's
// verdicts word for word.
package cli
