# Everything that is built lands in .build; nothing is installed on the machine but Debian packages that are missing.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VERSION   ?= 0.1.0
OUT       := .build
BIN       := $(OUT)/bin
IMAGES    := $(OUT)/images
LDFLAGS   := -s -w -X kdoctor.io/kdoctor/internal/version.release=$(VERSION)
GOFLAGS_STATIC := -ldflags "$(LDFLAGS)"
# test/compile links the same.
export VERSION
AGENT_MAX_BYTES := 25000000
# One set of flags for programs, vet, lint and tests, so that nothing is compiled twice; the race detector alone needs cgo.
# Without grpcnotrace gRPC links html/template and with it every method of every type: a fifth more of program to load.
export GOFLAGS     := -trimpath -tags=grpcnotrace
export CGO_ENABLED := 0
# Architectures of the images. What runs on this machine is built for it whatever GOARCH says; what is not says so itself.
ARCH       ?= amd64 arm64
HOST_ARCH  := $(shell go env GOHOSTARCH)
override GOARCH := $(HOST_ARCH)
override GOOS   := $(shell go env GOHOSTOS)
export GOARCH GOOS
# All of the lab but the binary of Kubernetes itself: to check that one again would compile Kubernetes a second time.
LAB_PACKAGES := . ./internal/... ./cmd/pause ./cmd/podnet ./cmd/debian

# Tests of when requests are sent have no others beside them.
TIMED := ./internal/engine
# Packages that only decide start no goroutine (internal/archtest holds them to it), and the race detector finds nothing in them.
PURE := stats target topology mesh limits schedule report phrases churn verdict diagnose infer ladder tally digest nodecondition echo
PURE_PACKAGES = $(PURE:%=./internal/%/...)

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test check dev build images release generate verify-generate unit bench scale bench-diagnose campaign test-scale lint test-api test-chart test-monitoring test-release e2e e2e-life e2e-upgrade mutation oracle clean run-e2e run-campaign

# The cluster on this machine needs no images for other ones.
demo dev e2e e2e-life e2e-upgrade campaign: ARCH := $(HOST_ARCH)

help: ## Show this help.
	@awk 'BEGIN{FS=":.*## "} /^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

demo: build images ## Show kdoctor at work on a Kubernetes of three nodes on this machine (needs Linux, root, Go).
	@$(BIN)/demo --build $(OUT) --version $(VERSION)

demo-down: ## Take the demo's cluster down.
	@test ! -x $(BIN)/lab || $(BIN)/lab down --name demo

test: ## Run every check and test there is; takes three quarters of an hour on a fresh machine of two cores, 20 minutes after that.
	@test/run

build: $(BIN) ## Build the programs.
	@echo "building the programs; the first time this takes some minutes, later seconds"
	@test/compile "1/6 agent" "$(CURDIR)/$(BIN)/kdoctor-agent" ./cmd/agent
	@test/compile "2/6 plugin for kubectl" "$(CURDIR)/$(BIN)/kubectl-kdoctor" ./cmd/kubectl-kdoctor
	@test/compile "3/6 controller" "$(CURDIR)/$(BIN)/kdoctor-controller" ./cmd/controller
	@test/compile "4/6 image maker" "$(CURDIR)/$(BIN)/mkimage" ./cmd/mkimage
	@test/compile "5/6 demo" "$(CURDIR)/$(BIN)/demo" ./test/demo
	@test/compile "6/6 lab" "$(CURDIR)/$(BIN)/lab" . -C lab

$(BIN) $(IMAGES):
	@mkdir -p $@

images: $(BIN) $(IMAGES) ## Build the container images for amd64 and arm64, as files, without a registry; ARCH=arm64 builds for one.
	@test/images $(OUT) $(VERSION) $(AGENT_MAX_BYTES) $(ARCH)

# What a release says of itself; git knows the commit, REVISION says it where there is no git. Nothing is published from here, and these defaults name no place that exists.
REGISTRY    ?= docker.io/kdoctor
RELEASE_URL ?= https://kdoctor.example.invalid/releases
HOME_URL    ?= https://kdoctor.example.invalid
DIST        ?= dist

release: $(BIN) ## Make all files of a release; VERSION=v1.2.3, and DIST, REGISTRY, RELEASE_URL, HOME_URL (docs/release.md).
	@test/compile "release maker" "$(CURDIR)/$(BIN)/release" ./cmd/release
	@$(BIN)/release --version "$(VERSION)" --out "$(DIST)" --registry "$(REGISTRY)" --release-url "$(RELEASE_URL)" \
	  --home-url "$(HOME_URL)" --agent-max-bytes $(AGENT_MAX_BYTES) --ldflags "$(LDFLAGS)" --revision "$(REVISION)"

generate: $(BIN) ## Write the generated files: deep copies, CRD, gRPC.
	@test/generate $(BIN)

verify-generate: $(BIN) ## Fail when a generated file is not what the sources say.
	@test/generate --verify $(BIN)

check: $(BIN) ## Vet, lint what changed since main, test the packages without I/O: seconds, for the time between two edits.
	@test/check $(BIN) $(PURE_PACKAGES)

unit: $(BIN) ## Run the unit tests, under the race detector where goroutines run; PKG=./internal/verdict tests that package alone.
ifdef PKG
	@go test $(PKG)
else
	@CGO_ENABLED=1 go test -race $(TIMED)
	@CGO_ENABLED=1 go test -race $$(go list ./... | grep -v /test/ | grep -vxF "$$(go list $(TIMED) $(PURE_PACKAGES))")
	@go test $(PURE_PACKAGES) ./test/campaign
	@CGO_ENABLED=1 go -C lab test -race $(LAB_PACKAGES) && CGO_ENABLED=1 go -C bench test -race ./...
	@go test ./internal/oracle
endif

dev: build images ## Load what was built into the demo's running cluster and restart it there.
	@test/dev $(BIN) $(IMAGES)

bench: ## Hold the engine against other load generators (Linux, root, 2 CPUs); BENCH=-quick takes a quarter of the time.
	@go -C bench build $(GOFLAGS_STATIC) -o "$(CURDIR)/$(OUT)/bench/" ./cmd/...
	@go -C lab build $(GOFLAGS_STATIC) -o "$(CURDIR)/$(OUT)/bench/" ./cmd/debian
	@go -C bench build -modfile=peers.mod $(GOFLAGS_STATIC) -o "$(CURDIR)/$(OUT)/bench/" tool
	@$(OUT)/bench/bench $(BENCH)

scale: build ## Hold the controller against its goals with up to 5,000 simulated agents (Linux, root); SCALE="-nodes 150,1000".
	@$(BIN)/lab build
	@go -C bench build $(GOFLAGS_STATIC) -o "$(CURDIR)/$(OUT)/bench/" ./cmd/scale
	@$(OUT)/bench/scale $(SCALE)

bench-diagnose: ## Measure by simulation how well faults are found, 10 to 100,000 nodes, 15 minutes; DIAGNOSE="-nodes 200 -trials 50".
	@go -C bench build $(GOFLAGS_STATIC) -o "$(CURDIR)/$(OUT)/bench/" ./cmd/diagnose
	@$(OUT)/bench/diagnose $(DIAGNOSE)

campaign: build images ## Inject real faults into a cluster and compare what kdoctor names, 25 minutes; CAMPAIGN="-quick" or "-matrix".
	@$(MAKE) --no-print-directory run-campaign

# What begins with run- takes the programs and images that were built before.
run-campaign:
	@test/compile "campaign" "$(CURDIR)/$(BIN)/campaign" ./test/campaign
	@$(BIN)/campaign --build $(OUT) --version $(VERSION) $(CAMPAIGN)

lint: $(BIN) ## Run go mod tidy, go vet and golangci-lint; nothing is changed.
	@go mod tidy -diff && go -C lab mod tidy -diff && go -C bench mod tidy -diff && go -C test/monitoring mod tidy -diff
	@go vet ./... && go -C lab vet $(LAB_PACKAGES) && go -C bench vet ./... && go -C test/monitoring vet ./...
	@go build -modfile=.ci/lint.mod -o $(BIN)/golangci-lint sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter
	@$(BIN)/golangci-lint run ./... && cd lab && ../$(BIN)/golangci-lint run -c ../.golangci.yaml $(LAB_PACKAGES) && cd ../bench && ../$(BIN)/golangci-lint run -c ../.golangci.yaml ./...
	@cd test/monitoring && ../../$(BIN)/golangci-lint run -c ../../.golangci.yaml ./...

test-api: build ## Run the API tests against a real kube-apiserver.
	@test/with-apiserver $(BIN) go test -count=1 ./test/api/...

test-chart: build ## Lint, render, install, upgrade and remove the chart on a real kube-apiserver.
	@$(BIN)/lab build
	@KDOCTOR_TEST_HELM=$$($(BIN)/lab env --bin)/helm test/with-apiserver $(BIN) go test -count=1 ./test/chart/...

test-release: $(BIN) ## Make a release twice, compare all bytes, and hand its chart to helm.
	@test/compile "lab" "$(CURDIR)/$(BIN)/lab" . -C lab
	@$(BIN)/lab build
	@KDOCTOR_TEST_HELM=$$($(BIN)/lab env --bin)/helm go test -count=1 -timeout 60m -v ./test/release

test-monitoring: ## Hold the chart's alerts and dashboard against the controller's metrics, with Prometheus' own packages.
	@go -C test/monitoring test ./...

test-scale: SCALE := -nodes 150 -faults healthy,dead-node -limit 2m -results=
test-scale: scale ## Run rounds of 150 simulated agents within the memory that the chart gives the controller.

e2e: build images ## Run the end-to-end scenarios on real clusters, but for those that take minutes each; RUN=name runs one.
	@$(MAKE) --no-print-directory run-e2e

# TestLifeCycle and TestScenarios run side by side, each on a cluster of its own: both mostly wait.
run-e2e:
	@KDOCTOR_BUILD="$(CURDIR)/$(OUT)" KDOCTOR_VERSION=$(VERSION) go test -count=1 -timeout 40m -parallel 2 -v \
	  $(if $(RUN),-run '$(RUN)',-skip '^Test(LongLife|ManyNodes|Installation|Upgrade)$$') ./test/e2e/...

e2e-life: build images ## Run the scenarios of a task's life, about ten minutes; with those that take minutes each, which "make test" leaves out.
	@echo "building Prometheus with its discovery of Kubernetes; the first time this takes some minutes"
	@go -C test/monitoring build -modfile=prometheus.mod -tags remove_all_sd,enable_kubernetes_sd $(GOFLAGS_STATIC) \
	  -o "$(CURDIR)/$(BIN)/prometheus" github.com/prometheus/prometheus/cmd/prometheus
	@KDOCTOR_BUILD="$(CURDIR)/$(OUT)" KDOCTOR_VERSION=$(VERSION) go test -count=1 -timeout 40m -v -run '^Test(LifeCycle|LongLife|ManyNodes|Installation)$$' ./test/e2e/...

e2e-upgrade: build images ## Go from the first release to this one and back on a real cluster; builds the first release, about fifteen minutes.
	@test/first $(OUT)/first
	@KDOCTOR_BUILD="$(CURDIR)/$(OUT)" KDOCTOR_VERSION=$(VERSION) KDOCTOR_FIRST="$(CURDIR)/$(OUT)/first" \
	  go test -count=1 -timeout 40m -v -run '^TestUpgrade$$' ./test/e2e/...

mutation: ## Change PKG=./internal/verdict in small ways, one at a time, and print what its tests do not notice; MUTATION="-n 200 -seed 7".
	@go run ./test/mutation $(MUTATION) $(or $(PKG),./internal/verdict)

oracle: ## Judge random rounds whose truth is known, and print how often the judgement is wrong; ORACLE="-rounds 1000000 -seed 7".
	@go run ./test/oracle $(ORACLE)

clean: ## Remove what was built here.
	@rm -rf $(OUT)
