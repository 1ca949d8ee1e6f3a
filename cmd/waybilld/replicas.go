package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/internal/replicas"
)

// leaveTime bounds telling the others that this replica ends.
const leaveTime = 2 * time.Second

// newReplicas returns the replicas that share the Applications with this one; nil when
// the leader works on all of them.
func newReplicas(config *rest.Config, o serveOptions, logger *slog.Logger) (*replicas.Members, error) {
	if !o.shard {
		return nil, nil
	}
	if !o.leaderElect {
		return nil, errors.New("--shard needs --leader-elect: all but the Applications is the leader's")
	}
	c, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to Waybill's cluster: %w", err)
	}
	host, _ := os.Hostname()              // it only helps people to recognise the id
	return replicas.New(replicas.Options{ //nolint:wrapcheck // says what is missing
		Leases: c.Leases(o.systemNamespace), ID: replicas.NewID(host), Duration: o.shardLease, Clock: clock.RealClock{}, Logger: logger,
	})
}

// among runs work, this replica's share of the Applications among it, as one of
// members from when it is ready. They are told that it ends when all work has, and not
// before.
func among(ctx context.Context, members *replicas.Members, ready, work func(context.Context) error) error {
	if members == nil {
		return work(ctx)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	stay, leave := context.WithCancel(context.WithoutCancel(ctx))
	left := make(chan error, 1)
	go func() {
		err := ready(stay)
		switch {
		case err == nil:
			members.Run(stay)
		case stay.Err() != nil:
			err = nil // it ended before
		default:
			end()
		}
		left <- err
	}()
	err := work(ctx)
	leave()
	notReady := <-left
	if err == nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer cancel()
		members.Leave(bounded)
	}
	return errors.Join(err, notReady)
}
