# Everything that is built lands in .build; nothing is installed on the machine but Debian packages that are missing.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VERSION   ?= 0.1.0
OUT       := .build
BIN       := $(OUT)/bin
IMAGES    := $(OUT)/images
GOFLAGS_STATIC := -trimpath -ldflags "-s -w"
AGENT_MAX_BYTES := 25000000
# All of the lab but the binary of Kubernetes itself: to check that one anew would compile Kubernetes a second time.
LAB_PACKAGES := . ./internal/... ./cmd/pause ./cmd/podnet ./cmd/debian

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test build images generate verify-generate unit bench lint test-api test-chart e2e e2e-life clean

help: ## Show this help.
	@awk 'BEGIN{FS=":.*## "} /^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

demo: build images ## Show kdoctor at work on a Kubernetes of three nodes on this machine (needs Linux, root, Go).
	@$(BIN)/demo --build $(OUT) --version $(VERSION)

demo-down: ## Take the demo's cluster down.
	@test ! -x $(BIN)/lab || $(BIN)/lab down --name demo

test: ## Run every check and test there is; takes about an hour on a fresh machine, a few minutes after that.
	@test/run

build: $(BIN) ## Build the programs.
	@echo "building the programs; the first time this takes some minutes, later seconds"
	@$(call compile,1,agent,kdoctor-agent,./cmd/agent)
	@$(call compile,2,plugin for kubectl,kubectl-kdoctor,./cmd/kubectl-kdoctor)
	@$(call compile,3,controller,kdoctor-controller,./cmd/controller)
	@$(call compile,4,image maker,mkimage,./cmd/mkimage)
	@$(call compile,5,demo,demo,./test/demo)
	@$(call compile,6,lab,lab,.,-C lab)

# $(call compile,number,what it is,program,package,flags): one static program, with its time.
define compile
printf '  %d/6 %-20s' $(1) "$(2)"; begin=$$SECONDS; \
CGO_ENABLED=0 go $(5) build $(GOFLAGS_STATIC) -o $(CURDIR)/$(BIN)/$(3) $(4); \
printf '%4d s\n' $$((SECONDS - begin))
endef

$(BIN) $(IMAGES):
	@mkdir -p $@

images: build $(IMAGES) ## Build the container images, as files, without a registry.
	@$(BIN)/mkimage --name docker.io/kdoctor/agent:$(VERSION) --binary $(BIN)/kdoctor-agent=/kdoctor-agent --max-bytes $(AGENT_MAX_BYTES) --out $(IMAGES)/agent.tar
	@$(BIN)/mkimage --name docker.io/kdoctor/controller:$(VERSION) --binary $(BIN)/kdoctor-controller=/kdoctor-controller --out $(IMAGES)/controller.tar

generate: $(BIN) ## Write the generated files anew: deep copies, CRD, gRPC.
	@test/generate $(BIN)

verify-generate: $(BIN) ## Fail when a generated file is not what the sources say.
	@test/generate --verify $(BIN)

unit: $(BIN) ## Run the unit tests under the race detector.
	@go build -modfile=.ci/s3.mod -o $(BIN)/ github.com/versity/versitygw/cmd/versitygw
	@go test -race $$(go list ./... | grep -v /test/)
	@go -C lab test -race $(LAB_PACKAGES) && go -C bench test -race ./...

bench: ## Hold the engine against other load generators (Linux, root, 2 CPUs); BENCH=-quick takes a quarter of the time.
	@CGO_ENABLED=0 go -C bench build $(GOFLAGS_STATIC) -o $(CURDIR)/$(OUT)/bench/ ./cmd/...
	@CGO_ENABLED=0 go -C lab build $(GOFLAGS_STATIC) -o $(CURDIR)/$(OUT)/bench/ ./cmd/debian
	@CGO_ENABLED=0 go -C bench build -modfile=peers.mod $(GOFLAGS_STATIC) -o $(CURDIR)/$(OUT)/bench/ tool
	@$(OUT)/bench/bench $(BENCH)

lint: $(BIN) ## Run go mod tidy, go vet and golangci-lint; nothing is changed.
	@go mod tidy -diff && go -C lab mod tidy -diff && go -C bench mod tidy -diff
	@go vet ./... && go -C lab vet $(LAB_PACKAGES) && go -C bench vet ./...
	@go build -modfile=.ci/lint.mod -o $(BIN)/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@$(BIN)/golangci-lint run ./... && cd lab && ../$(BIN)/golangci-lint run -c ../.golangci.yaml $(LAB_PACKAGES) && cd ../bench && ../$(BIN)/golangci-lint run -c ../.golangci.yaml ./...

test-api: build ## Run the API tests against a real kube-apiserver.
	@test/with-apiserver $(BIN) go test -count=1 ./test/api/...

test-chart: build ## Lint, render, install, upgrade and remove the chart on a real kube-apiserver.
	@$(BIN)/lab build
	@KDOCTOR_TEST_HELM=$$($(BIN)/lab env --bin)/helm test/with-apiserver $(BIN) go test -count=1 ./test/chart/...

e2e: build images ## Run the end-to-end scenarios on real clusters, but for those that take minutes each.
	@KDOCTOR_BUILD=$(CURDIR)/$(OUT) KDOCTOR_VERSION=$(VERSION) go test -count=1 -timeout 40m -v -skip '^TestLongLife$$' ./test/e2e/...

e2e-life: build images ## Run the scenarios of a task's life, about ten minutes; with those that take minutes each, which "make test" leaves out.
	@KDOCTOR_BUILD=$(CURDIR)/$(OUT) KDOCTOR_VERSION=$(VERSION) go test -count=1 -timeout 40m -v -run '^Test(LifeCycle|LongLife)$$' ./test/e2e/...

clean: ## Remove what was built here.
	@rm -rf $(OUT)
