package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	kuberest "k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/api/rest"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/observe"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/ui"
)

// drainTime is how long open requests may take when the server stops.
const drainTime = 5 * time.Second

// apiServer serves the API and the dashboard.
type apiServer struct {
	o      serveOptions
	api    *rest.Server
	logger *slog.Logger
}

func newAPI(mgr manager.Manager, config *kuberest.Config, o serveOptions, p *parts, logger *slog.Logger) (*apiServer, error) {
	dashboard, built := ui.FS()
	if !built {
		dashboard = nil
	}
	api, err := rest.New(rest.Options{
		Cache: mgr.GetCache(), Config: config, SystemNamespace: o.systemNamespace,
		UI: dashboard, NotBuilt: ui.NotBuilt, Clock: clock.RealClock{}, Logger: logger,
		PublicURL: o.publicURL, Version: version, Commit: commit,
		Inspector: p.inspector, Acceptor: p.acceptor,
		Planner: p.previews, Waker: p.hooks, Messenger: p.messages, Credentials: p.store, Remotes: p.remotes,
		History: p.history, Notes: p.outbox,
		Vitals: &rest.Vitals{
			Policies: p.policies, Elects: o.leaderElect, Store: p.history, StoreKind: kindOf(p.history), Outbox: p.outbox,
		},
		SSO: p.sso, NoPasswords: o.sso.noPasswords,
	})
	if err != nil {
		return nil, fmt.Errorf("make the API: %w", err)
	}
	for _, c := range api.Collectors() {
		if err := metrics.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return &apiServer{o: o, api: api, logger: logger}, nil
}

// run listens until ctx ends, then lets open requests finish.
func (a *apiServer) run(ctx context.Context) error {
	listener, err := net.Listen("tcp", a.o.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", a.o.listen, err)
	}
	server := rest.NewHTTPServer(a.api.Handler(), a.logger)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.api.Run(ctx) })
	group.Go(func() error {
		a.logger.Info("listening", "address", listener.Addr().String())
		var err error
		if a.o.tlsCert != "" {
			err = server.ServeTLS(listener, a.o.tlsCert, a.o.tlsKey)
		} else {
			err = server.Serve(listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve: %w", err)
	})
	group.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return server.Close() //nolint:wrapcheck // nothing more can be done
		}
		return nil
	})
	return group.Wait() //nolint:wrapcheck // each part names itself
}

// previews answers the API's questions about Git with the planner that the
// Promotion controller asks too.
type previews struct {
	reader  client.Reader
	planner *planner.Planner
}

// Preview is rest.Planner.
func (p *previews) Preview(ctx context.Context, asked *v1alpha1.Promotion, freight *v1alpha1.Freight) (*planner.Preview, error) {
	o, err := observe.Stage(ctx, p.reader, client.ObjectKey{Namespace: asked.Namespace, Name: asked.Spec.Stage}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("read Stage %q: %w", asked.Spec.Stage, err)
	}
	return p.planner.Preview(ctx, o, asked, freight) //nolint:wrapcheck // names repository and step already
}

// Describe tells in the text of a pull request what a Promotion changes.
func (p *previews) Describe(ctx context.Context, of *v1alpha1.Promotion) (string, error) {
	var freight v1alpha1.Freight
	if err := p.reader.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Spec.Freight}, &freight); err != nil {
		return "", fmt.Errorf("read Freight %q: %w", of.Spec.Freight, err)
	}
	preview, err := p.Preview(ctx, of.DeepCopy(), &freight)
	if err != nil {
		return "", err
	}
	return preview.Markdown(), nil
}
