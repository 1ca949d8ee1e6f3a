// Package promotion decides what moves through the pipeline, and why not.
//
// It is pure: no I/O, no clock (now is part of the Observation), no logger.
// Controllers, API and CLI all ask the same functions, so that a verdict is the
// same wherever it is read.
//
//	Pending --start gates open--> Running --steps done--> Syncing --healthy--> Succeeded
//	   |                             |                       |                    |
//	   | entry gate closed           | terminal error        | bad, or timeout    | Degraded within
//	   v                             v                       v                    v watchFor
//	 Failed (GateClosed)          Failed                  Failed  ----------> RolledBack
//
// Invariants:
//   - nothing enters a Stage while an entry gate is closed (Gates, Decide);
//   - a refusal always has a reason: every gate is always evaluated, none hides
//     another (Gates);
//   - a rerun is harmless: names are deterministic (Name), steps without effect
//     are replayed, steps with effect are probed before they run (Advance);
//   - a revert by policy happens at most once per Freight and Stage (JudgeHealth).
package promotion
