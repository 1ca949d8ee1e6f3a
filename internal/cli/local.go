package cli

import "github.com/spf13/cobra"

func (a *App) localCommand() *cobra.Command { return &cobra.Command{Use: "local"} }
