// Package historytest says what every history.Store does, and starts a
// PostgreSQL for the tests of the one that needs it.
package historytest
