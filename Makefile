# Every target sets up what it needs in .venv; Python >= 3.11 and make are all it asks for.
PYTHON ?= python3
BIN := .venv/bin
# The tests need torch: on Linux, PIP_EXTRA_INDEX_URL may name PyTorch's CPU index.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest
TEST_AGAIN := echo "Once more, alone, what failed:" && $(PYTEST) --last-failed --last-failed-no-failures=none
CHECKOV := 3.3.30
# For CLIP's vocabulary, which ships inside it; the rest of it would want torchvision.
VOCABULARY := open_clip_torch==3.3.0
# True when the virtual environment $(1) runs, and from here.
runs = $(1)/bin/python -I tools/runs_here.py 2>/dev/null
anew_unless_it_runs = $(shell $(call runs,$(1)) || echo anew)

# uv takes a tenth of pip's time, and reads no settings of pip: further indexes and links are handed
# on, of which it takes the best version, as pip does. Where the settings lead elsewhere, or uv
# fails for whatever reason, pip does it, and says why it cannot. uv is removed again: 38 MB.
# Neither compiles, which the first import does: to compile all takes longer than that, and 60 MB.
elsewhere = $(BIN)/python -m pip config list | grep -qE '[.](index-url|no-index|proxy)='
# What pip's setting $(1) says, as its list prints it: between quotes, a line's end as \n.
of_pip = $$($(BIN)/python -m pip config list | sed -n "s/.*[.]$(1)='\(.*\)'/\1/p" | sed 's/\\n/ /g')
uv_install = "$$uv/bin/uv" pip install --quiet --python $(BIN)/python \
	--index-strategy unsafe-best-match
# Runs $(1), which may call uv_install.
with_uv = { uv=$$(mktemp -d) && trap 'rm -rf "$$uv"' EXIT && ! { $(elsewhere); } && \
	$(PIP) --no-compile --only-binary=:all: --target "$$uv" \
		"$$(grep '^uv==' requirements-dev.lock)" && \
	export UV_EXTRA_INDEX_URL="$(call of_pip,extra-index-url)" && \
	export UV_FIND_LINKS="$$(echo $(call of_pip,find-links) | tr ' ' ,)" && \
	$(1); } 2>/dev/null

# What is imported is compiled once: else each of the many processes compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run app emulators check test fast-tests all-tests coverage terraform-test terraform-lock checkov first-deployment verify-deployment lint format bench bench-full check-weights eval openapi docs lock clean help anew
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

run: .venv/run ## Serve the page and the API at http://127.0.0.1:8080, or at PORT
	@$(BIN)/imagesearch serve

app: .venv/app ## Serve the Flutter app at http://127.0.0.1:8090, which searches API_URL, by default that of `make run`
	@$(BIN)/imagesearch app

emulators: .venv/dev ## Run the cloud edition over emulators, its API at PORT, the page at the next
	@$(BIN)/imagesearch emulators

# mypy works on one core; the tests take what it leaves.
check: .venv/dev ## Lint, type-check and run the fast tests, which need nothing but .venv
	@$(MAKE) --no-print-directory --jobs=2 lint fast-tests

test: .venv/dev ## Lint, type-check and run all tests: what CI runs; FULL=1 tries all of what is sampled
	@$(MAKE) --no-print-directory --jobs=2 lint all-tests

fast-tests: .venv/dev
	$(PYTEST) --numprocesses=3 -m "not slow"

# What fails is run once more, alone (decision 0099): a shared machine may stand still for seconds.
all-tests: .venv/dev
	$(PYTEST) --numprocesses=3 --durations=10 || { [ $$? = 1 ] && $(TEST_AGAIN); }

# Not in `test`: tracing every line takes half as long again.
coverage: .venv/dev ## Test, and tell which lines no test reached
	$(PYTEST) --numprocesses=3 --cov --cov-report=term:skip-covered

# In a copy: what `init` writes would stand in the way of a real deployment's own. The functions' zips are
# empty there: `validate` asks whether they exist.
terraform-test: ## Check terraform/ against a mocked Google; needs terraform and a network, no account
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cp -R terraform "$$folder" && \
		mkdir "$$folder/build" && touch "$$folder/build/query.zip" "$$folder/build/fetch.zip" && \
		terraform fmt -check -recursive -diff terraform && \
		terraform -chdir="$$folder/terraform" init -backend=false -input=false && \
		terraform -chdir="$$folder/terraform" validate && \
		terraform -chdir="$$folder/terraform" test && \
		for root in "$$folder"/terraform/environments/*/; do \
			terraform -chdir="$$root" init -backend=false -input=false && \
			terraform -chdir="$$root" validate || exit 1; \
		done

terraform-lock: ## Pin the newest providers that terraform/ admits, with the hashes of every platform
	@for root in terraform/environments/*/; do \
		terraform -chdir="$$root" init -backend=false -input=false -upgrade && \
		terraform -chdir="$$root" providers lock -platform=linux_amd64 -platform=linux_arm64 \
			-platform=darwin_amd64 -platform=darwin_arm64 -platform=windows_amd64 || exit 1; \
	done

checkov: .venv-checkov/$(CHECKOV) ## Check terraform/ against the rules of checkov, in a venv of its own
	.venv-checkov/bin/checkov --directory terraform --framework terraform --skip-path tests \
		--skip-download --compact --quiet

first-deployment: ## Deploy ENVIRONMENT (prod or dev) to the Google Cloud project PROJECT: docs/deploy.md
	tools/first_deployment.sh --project=$(PROJECT) $(if $(ENVIRONMENT),--environment=$(ENVIRONMENT))

verify-deployment: .venv/dev ## Deploy to the scratch project PROJECT, prove that all works, and destroy it: docs/deploy.md
	$(BIN)/python -m tools.verify_deployment --project=$(PROJECT)

lint: .venv/dev ## Lint and type-check only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev ## Format and fix what can be fixed
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: .venv/bench ## Measure against what others do, and write docs/benchmarks.md; some minutes
	$(BIN)/python -m benchmarks

bench-full: .venv/bench .venv-peers/libraries/done .venv-peers/infinity/done ## The same with all peers and a million embeddings
	$(BIN)/python -m benchmarks --full

check-weights: .venv/dev ## Hold the models of the hub to published figures; downloads some 10 GB
	@$(BIN)/python -m tools.check_weights

# On Debian or Ubuntu. The figures are counted anew by other code, and a wrong one fails.
eval: .venv/dev ## Measure MODEL on SETS (stamps clipart) of Debian's, in LANGUAGES; fetches 186 MB once
	@$(BIN)/python -m tools.eval $(if $(MODEL),--model "$(MODEL)") $(if $(SETS),--sets $(SETS)) \
		$(if $(LANGUAGES),--languages $(LANGUAGES))

openapi: .venv/dev ## Write web/openapi.json, reference.html and client-types.d.ts from docs/openapi.yaml
	$(BIN)/python -m tools.openapi

docs: .venv/run ## Build the documentation site into web/docs/, which every server has at /docs/
	@$(BIN)/python -m tools.docs_site

lock: .venv/dev ## Pin the newest versions that pyproject.toml admits
	$(PIP) pip-tools
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url \
		--no-emit-find-links --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --allow-unsafe \
		--extra torch --extra dev --extra cloud --extra mcp --extra postgres --extra app \
		--no-emit-find-links --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements-dev.lock  # installs everywhere
	for folder in functions/query functions/fetch inference_service tools/docs_site app; do \
		$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url \
			--no-emit-find-links --constraint requirements-dev.lock --generate-hashes \
			--output-file $$folder/requirements.txt $$folder/requirements.in \
			|| exit 1; \
	done
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --extra bench \
		--no-emit-find-links --constraint requirements-dev.lock \
		--output-file requirements-bench.lock pyproject.toml
	for torch in cuda cpu; do \
		$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url \
			--python-version 3.12 --python-platform x86_64-manylinux_2_28 \
			--index-strategy unsafe-best-match --constraint requirements-dev.lock \
			--custom-compile-command 'make lock' \
			--output-file inference_service/torch-$$torch.txt inference_service/torch-$$torch.in \
			|| exit 1; \
	done

clean: ## Remove the virtual environment and the data
	rm -rf .venv .venv-checkov .venv-peers .data build/eval web/docs

anew:

.venv/run: requirements.lock pyproject.toml $(call anew_unless_it_runs,.venv)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "imagesearch needs Python >= 3.11, and $(PYTHON) is older or missing: make run PYTHON=python3.11"; exit 1; }
	@echo "Setting up .venv: the first time it downloads some 150 MB"
	@$(call runs,.venv) || $(PYTHON) -m venv --clear .venv
	@$(call with_uv,$(uv_install) --requirement requirements.lock --editable .) || \
		{ $(PIP) --no-compile --requirement requirements.lock && \
		$(PIP) --no-deps --editable .; }
	@touch $@

# Its own pins fight ours.
.venv-checkov/$(CHECKOV): $(call anew_unless_it_runs,.venv-checkov)
	@$(PYTHON) -m venv --clear .venv-checkov
	@.venv-checkov/bin/python -m pip install --quiet \
		--disable-pip-version-check checkov==$(CHECKOV)
	@touch $@

.venv/app: .venv/run
	@$(PIP) --no-compile "$$(grep '^flet==' requirements-dev.lock)" "$$(grep '^flet-web==' requirements-dev.lock)" --constraint requirements-dev.lock
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@$(call with_uv,$(uv_install) --requirement requirements-dev.lock && \
		$(uv_install) --no-deps $(VOCABULARY)) || \
		{ $(PIP) --no-compile --requirement requirements-dev.lock && \
		$(PIP) --no-compile --no-deps $(VOCABULARY); }
	@touch $@

.venv/bench: .venv/dev requirements-bench.lock
	@$(PIP) --requirement requirements-bench.lock
	@touch $@

# Peers whose pins fight ours, each over the torch of .venv, which is large and must be the same.
.venv-peers/%/done: benchmarks/peers/%.txt .venv/dev
	@$(PYTHON) -m venv --clear .venv-peers/$*
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		>"$$(.venv-peers/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
	@.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement $<
	@touch $@
