package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) refreshCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	cmd := &cobra.Command{
		Use:   "refresh [[PROJECT/]WAREHOUSE]",
		Short: "Make a Warehouse look at its registries now",
		Long: `Make a Warehouse look at its registries now; without a name, every Warehouse of the Project.
With --wait it ends when the Warehouse has looked, with exit code 1 when a registry did not answer.`,
		Example: `  waybill refresh guestbook/guestbook --wait
  waybill refresh -p guestbook`,
		Args: rangeArgs(0, "[PROJECT/]WAREHOUSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			houses, err := a.warehouses(cmd, c, x, args)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
			defer cancel()
			requests := map[target]string{}
			for _, h := range houses {
				r, err := c.Refresh(ctx, h.project, h.name)
				if err != nil {
					return err
				}
				requests[h] = r.Request
			}
			shown := &model.WarehouseList{}
			var failed error
			for _, h := range houses {
				wh, err := c.Warehouse(ctx, h.project, h.name)
				if w.wait && err == nil {
					wh, err = a.awaitRefresh(ctx, c, h, requests[h], w.timeout)
				}
				if wh != nil {
					shown.Items = append(shown.Items, *wh)
				}
				failed = errors.Join(failed, err)
			}
			if failed != nil && cmd.Context().Err() != nil {
				return &failure{code: client.ExitInterrupted}
			}
			if err := a.printWarehouses(shown, out); err != nil {
				return err
			}
			return failed
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until the Warehouse has looked")
	return cmd
}

// warehouses are those that args name, or all of the Project.
func (a *App) warehouses(cmd *cobra.Command, c *client.Client, x Context, args []string) ([]target, error) {
	if len(args) > 0 {
		it, err := a.target(cmd, x, args[0], "warehouse")
		return []target{it}, err
	}
	project, err := a.needProject(cmd, x, nil)
	if err != nil {
		return nil, err
	}
	list, err := c.Warehouses(cmd.Context(), project)
	if err != nil {
		return nil, err
	}
	var all []target
	for _, w := range list.Items {
		all = append(all, target{project: project, name: w.Name})
	}
	if len(all) == 0 {
		return nil, notFound(fmt.Sprintf("Project %q has no Warehouse", project))
	}
	return all, nil
}

// awaitRefresh follows the pipeline until the Warehouse echoes the request.
func (a *App) awaitRefresh(ctx context.Context, c *client.Client, h target, request string, timeout time.Duration) (*model.Warehouse, error) {
	var found *model.Warehouse
	err := c.WatchPipeline(ctx, h.project, a.reconnecting, func(p *model.Pipeline) error {
		for _, w := range p.Warehouses {
			if w.Name == h.name && w.LastHandledRequest == request {
				found = &w
				return client.ErrStop
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &failure{code: client.ExitTimeout, what: fmt.Sprintf("Warehouse %s has not looked within %s", h, timeout),
			next: []string{"waybill get warehouse " + h.name + " -p " + h.project + " -o yaml"}}
	case err != nil:
		return nil, err
	}
	if text := warehouseError(*found); text != "" {
		return found, &failure{code: client.ExitFailed, what: fmt.Sprintf("Warehouse %s: %s", h, text)}
	}
	return found, nil
}

func (a *App) printWarehouses(list *model.WarehouseList, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, list)
	}
	t := table{heads: []string{"WAREHOUSE", "READY", "LATEST", "POLLED", "REQUESTS", "TAGS", "MESSAGE"}}
	for _, w := range list.Items {
		if out.format == "name" {
			if err := a.print("warehouse/%s", w.Name); err != nil {
				return err
			}
			continue
		}
		ready := cell{text: "no", style: red}
		if w.Ready {
			ready = cell{text: "yes", style: green}
		}
		var polled time.Time
		tags, requests := 0, 0
		for _, s := range w.Subscriptions {
			tags, requests = tags+s.Tags, requests+s.Requests
			if s.LastPoll.After(polled) {
				polled = s.LastPoll
			}
		}
		ago := a.age(polled)
		if ago != "" {
			ago += " ago"
		}
		t.add(text(w.Name), ready, text(freightName(w.LatestFreight)), text(ago), text(fmt.Sprint(requests)), text(fmt.Sprint(tags)), text(firstOf(warehouseError(w), w.Message)))
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}
