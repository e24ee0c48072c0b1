package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// Agents is the first argument with which this program is the process of the simulated agents; the second is their
// configuration in JSON.
const Agents = "agents"

// AgentsConfig is that configuration.
type AgentsConfig struct {
	fleet.Config
	// Socket is where the process says how far rounds are, and is told of faults.
	Socket string
}

// RunAgents runs the agents until the context ends.
func RunAgents(ctx context.Context, configuration string) error {
	var config AgentsConfig
	if err := json.Unmarshal([]byte(configuration), &config); err != nil {
		return fmt.Errorf("read the configuration of the agents: %w", err)
	}
	all := fleet.New(config.Config)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rounds", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(all.Rounds())
	})
	mux.HandleFunc("POST /fault", func(w http.ResponseWriter, r *http.Request) {
		fault, err := fleet.ParseFault(r.FormValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		all.SetFault(fault)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	return all.Run(ctx, func() {
		socket, err := new(net.ListenConfig).Listen(ctx, "unix", config.Socket)
		if err != nil {
			fmt.Fprintln(os.Stderr, "listen for the measurement:", err)
			return
		}
		go func() { _ = server.Serve(socket) }()
	})
}

// simulation is the process of the agents.
type simulation struct {
	*process
	client http.Client
}

// startAgents starts the process and waits until all agents listen.
func startAgents(ctx context.Context, nodes int, seed uint64, tlsDir, folder string, out io.Writer) (*simulation,
	error) {
	socket := filepath.Join(folder, "agents.sock")
	config, err := json.Marshal(AgentsConfig{Socket: socket, Config: fleet.Config{Nodes: nodes, TLSDir: tlsDir,
		Installation: namespace + "/" + agents, Seed: seed}})
	if err != nil {
		return nil, fmt.Errorf("write the configuration of the agents: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	// There is more memory than time: the less the agents compute, the less they disturb what is measured. They collect
	// garbage seldom and leave free memory where it is.
	running, err := start(nil, out, []string{"GOGC=400", "GODEBUG=madvdontneed=0"}, self, Agents, string(config))
	if err != nil {
		return nil, err
	}
	s := &simulation{process: running, client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := until(ctx, func() error { _, err := s.rounds(ctx); return err }); err != nil {
		s.stop()
		return nil, fmt.Errorf("wait for the agents: %w", err)
	}
	return s, nil
}

// rounds is how far the rounds are.
func (s *simulation) rounds(ctx context.Context) ([]fleet.Progress, error) {
	var all []fleet.Progress
	err := s.call(ctx, http.MethodGet, "http://agents/rounds", &all)
	return all, err
}

// setFault sets the fault of later rounds.
func (s *simulation) setFault(ctx context.Context, f fleet.Fault) error {
	return s.call(ctx, http.MethodPost, "http://agents/fault?"+url.Values{"name": {string(f)}}.Encode(), nil)
}

var errRefused = errors.New("the agents refused")

func (s *simulation) call(ctx context.Context, method, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return fmt.Errorf("ask the agents: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the agents: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", response.Status, errRefused)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}
