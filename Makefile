# What the README, CI and a developer run. `make help` lists it.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rds
# Outside the checkout: another clone on this machine reuses compiled dependencies.
export CARGO_TARGET_DIR ?= $(CACHE)/target
PYTHON ?= python3
VENV := .venv
TOOLS := $(CACHE)/tools

LIBRARY := $(CARGO_TARGET_DIR)/release/librds.so
export RDS_LIBRARY ?= $(LIBRARY)

CBINDGEN_VERSION := 0.29.4
CBINDGEN := $(TOOLS)/bin/cbindgen
# Lance's build needs it. Taken from PATH, else from the environment of the project.
export PROTOC ?= $(or $(shell command -v protoc),$(CURDIR)/$(VENV)/bin/protoc)

CARGO := cargo
CARGO_FLAGS := --release --locked
PY := $(VENV)/bin/python

.PHONY: help build demo test test-rust test-header test-c test-python test-install test-packages test-wheel test-stress test-tsan \
  fuzz test-torch test-libtorch test-hyrax test-lsdb test-ray bench bench-cpp docs dist cross install uninstall wheel licences deny header lint clean

help:
	@echo "make demo         build, then run the main job on real input"
	@echo "make test         every test, with a closing count"
	@echo "make test-stress  killed, stopped and unplugged writers, and pylance beside them; FACTOR=10 for longer"
	@echo "make test-tsan    ThreadSanitizer over the C tests that have threads; compiles Lance once more with a nightly Rust"
	@echo "make fuzz         libFuzzer over what others may have written: SECONDS=600 for each target; KEEP=1 keeps new seeds"
	@echo "make test-torch   PyTorch's DataLoader over results, where Debian's python3-torch is installed"
	@echo "make test-libtorch  a training loop in C++, where Debian's libtorch-dev is installed"
	@echo "make test-hyrax   Hyrax 0.12 and 0.13 over librds, ours and their own tests; installs them, several gigabytes"
	@echo "make test-lsdb    catalogues of LSDB as tables, where LSDB is installed: for LSDB_PYTHON, default that of $(VENV)"
	@echo "make test-ray     Ray writes and reads tables; installs Ray, some hundred megabytes"
	@echo "make build        the library: $(LIBRARY)"
	@echo "make install      librds.so, librds.a, headers, pkg-config and CMake files: PREFIX= LIBDIR= CMAKEDIR= DESTDIR=; make uninstall"
	@echo "make wheel        a wheel for every Linux with glibc $(GLIBC) or later, in $(DIST)"
	@echo "make cross        whether it compiles for $(CROSS)"
	@echo "make test-packages  Debian's packages in a small Debian, recipes for conda and vcpkg, THIRD-PARTY; as root"
	@echo "make test-wheel   the wheel and an installed tree in Debian 11 and 12; as root, some minutes the first time"
	@echo "make licences     write THIRD-PARTY anew"
	@echo "make deny         licences and sources of the crates, and advisories where their database can be fetched"
	@echo "make header       write include/rds.h and include/rds.symbols anew"
	@echo "make bench        benchmarks of rows against Lance and against plain memory"
	@echo "make bench-cpp    a loop in C++ beside a plain map and beside fwrite"
	@echo "make docs         the guide and the references: build/docs/index.html; needs no library"
	@echo "make lint         rustfmt and clippy"
	@echo "The first build compiles Lance: some 18 minutes on 2 idle cores. Later ones take seconds."

build: $(LIBRARY)

# Cargo knows best what is fresh.
.PHONY: $(LIBRARY)
$(LIBRARY): | $(VENV)/.build-tools
	@scripts/need-tools cargo cc
	@test -e $@ || echo "The first build compiles Lance: some 18 minutes on 2 idle cores, shown below crate by crate."
	$(CARGO) build $(CARGO_FLAGS) --lib
	@ln -sf librds.so $@.0  # the name that programs linked with it look for
	@ln -sf $@ python_ctypes/rds/librds.so.0  # where the package looks

demo: build $(VENV)/.installed
	$(PY) examples/demo.py demo_output

test: build $(VENV)/.installed $(CBINDGEN)
	@scripts/run-tests test-rust test-header test-c test-python test-install

test-rust: | $(VENV)/.build-tools
	$(CARGO) test $(CARGO_FLAGS) --lib
	$(CARGO) test $(CARGO_FLAGS) -p rds-loom

test-header: build $(CBINDGEN)
	@scripts/need-tools cc c++ clang doxygen
	$(PYTHON) c_tests/check_header.py --library $(LIBRARY) --header include/rds.h \
	  --symbols include/rds.symbols --cbindgen $(CBINDGEN) --clang --doxygen

test-c: build
	@scripts/need-tools cc c++ valgrind
	$(PYTHON) c_tests/run.py --library $(LIBRARY) --build $(CARGO_TARGET_DIR)/c_tests --asan --valgrind

# By two processes, each with whole files. What ends its process is not run again.
test-python: build $(VENV)/.installed
	@scripts/need-tools cc c++
	$(PY) -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 python_ctypes/tests

# Minutes of what the world does to writers; the programs say what they checked.
FACTOR := 1
test-stress: build $(VENV)/.installed
	@scripts/need-tools cc c++
	PYTHONPATH=python_ctypes $(PY) stress/run.py --factor $(FACTOR)

# ThreadSanitizer over the C tests that have threads. It asks for a nightly Rust with its sources, and compiles these
# and Lance once more: some 25 minutes of two processors.
TSAN := nightly
TSAN_TARGET := $(shell uname -m)-unknown-linux-gnu
test-tsan: export RUSTUP_TOOLCHAIN = $(TSAN)
test-tsan: export CARGO_TARGET_DIR = $(CACHE)/tsan
test-tsan: | $(VENV)/.build-tools
	@scripts/need-tools cargo cc c++
	RUSTFLAGS=-Zsanitizer=thread CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
	  $(CARGO) build $(CARGO_FLAGS) --lib -Zbuild-std --target $(TSAN_TARGET)
	$(PYTHON) c_tests/run.py --library $(CACHE)/tsan/$(TSAN_TARGET)/release/librds.so --build $(CACHE)/tsan/c_tests \
	  --tsan $$(rustc --print target-libdir)/librustc-nightly_rt.tsan.a

# What others may have written or damaged, by libFuzzer, so many seconds for each target. `cargo fuzz` runs them too.
SECONDS := 10
KEEP :=
fuzz: | $(VENV)/.build-tools
	@scripts/need-tools cargo c++
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/fuzz-rustc $(CARGO) build $(CARGO_FLAGS) -p rds-fuzz --bins
	$(PYTHON) fuzz/run.py --bin $(CARGO_TARGET_DIR)/release --seconds $(SECONDS) $(if $(KEEP),--keep)

# With Debian's python3-torch, which is small, and the last NumPy that it was built for.
TORCH_VENV := .venv-torch
test-torch: build $(TORCH_VENV)/.installed
	PYTHONPATH=python_ctypes $(TORCH_VENV)/bin/python -m pytest -q -rs python_ctypes/torch_tests

$(TORCH_VENV)/.installed:
	/usr/bin/python3 -m venv --system-site-packages $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check numpy==1.26.4 pytest==9.2.0
	@touch $@

# The training loop of the examples with libtorch, whose headers are not held to our warnings.
LIBTORCH_API := /usr/include/torch/csrc/api/include
TRAIN_LOOP := $(CARGO_TARGET_DIR)/train_loop
test-libtorch: build
	@scripts/need-tools c++
	@test -e $(LIBTORCH_API)/torch/torch.h || scripts/need-tools libtorch
	c++ -std=c++17 -O1 -Wall -Wextra -Wconversion -pedantic -Werror -Iinclude -isystem $(LIBTORCH_API) \
	  examples/train_loop.cpp -L$(dir $(LIBRARY)) -lrds -Wl,-rpath,$(dir $(LIBRARY)) \
	  -ltorch -ltorch_cpu -lc10 -o $(TRAIN_LOOP)
	$(TRAIN_LOOP) $(TRAIN_LOOP)_results

# Over Hyrax 0.12 and 0.13 from PyPI, each in an environment of its own in the cache: several gigabytes.
test-hyrax: build
	@scripts/test-hyrax

# With an LSDB that is there: it is large. The tests need pylance and ml_dtypes beside it.
LSDB_PYTHON ?= $(PY)
test-lsdb: build
	@if $(LSDB_PYTHON) -c 'import lsdb, lance, ml_dtypes, pytest' 2>/dev/null; then \
	  PYTHONPATH=python_ctypes $(LSDB_PYTHON) -m pytest -q -p no:cacheprovider python_ctypes/lsdb_tests; \
	else echo "make test-lsdb: LSDB, pylance, ml_dtypes and pytest are not all installed for $(LSDB_PYTHON); its tests did not run"; fi

# With Ray from PyPI, in an environment of its own in the cache.
test-ray: build
	@scripts/test-ray

bench: | $(VENV)/.build-tools
	$(CARGO) bench --locked --bench rows -- $(BENCH)

# A loop in C++ beside a plain map and beside fwrite.
bench-cpp: build
	@scripts/need-tools c++
	c++ -std=c++17 -O2 -Iinclude benches/loop.cpp -L$(dir $(LIBRARY)) -lrds -Wl,-rpath,$(dir $(LIBRARY)) -o $(CARGO_TARGET_DIR)/bench_loop
	$(CARGO_TARGET_DIR)/bench_loop $(CARGO_TARGET_DIR)/bench_loop_results

# The libraries that are installed, in the clone, so that `sudo make install` copies and builds nothing.
DIST := dist
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
CMAKEDIR ?= $(LIBDIR)/cmake/rds
DESTDIR ?=
INSTALL = $(PYTHON) packaging/install.py --destdir "$(DESTDIR)" --prefix "$(PREFIX)" --libdir "$(LIBDIR)" \
  --cmakedir "$(CMAKEDIR)" --dist $(DIST)
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock build.rs include/rds.symbols packaging/link.py

dist: $(DIST)/librds.a $(DIST)/librds.so

$(DIST)/librds.a: $(SOURCES) | $(VENV)/.build-tools
	@scripts/need-tools cargo "$(firstword $(CC))" ld objcopy
	$(CARGO) build $(CARGO_FLAGS) --lib
	$(PYTHON) packaging/link.py $(CARGO_TARGET_DIR)/release/librds.a $@

$(DIST)/librds.so: $(DIST)/librds.a
	$(PYTHON) packaging/link.py $< $@ --compiler "$(CC)"

# For every Linux with this glibc or a later one: linked by zig, which has the names of each.
GLIBC := 2.28
ZIG = $(PY) -m ziglang cc -target $(shell uname -m)-linux-gnu.$(GLIBC)

$(DIST)/wheel/librds.so: $(DIST)/librds.a $(VENV)/.packaging-tools
	$(PYTHON) packaging/link.py $< $@ --compiler "$(ZIG)"

wheel: $(DIST)/wheel/librds.so
	RDS_LIBRARY=$(CURDIR)/$< $(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(DIST) ./python_ctypes
	$(PY) packaging/check_wheel.py $(DIST)/rds-*.whl --glibc $(GLIBC)

$(VENV)/.packaging-tools: packaging/requirements.txt | $(VENV)/.build-tools
	$(PY) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Whether it compiles for another processor, up to the linker. Those of the C parts are compiled by Debian's GCC for it.
CROSS := aarch64-unknown-linux-gnu
cross: | $(VENV)/.build-tools
	@scripts/need-tools cargo rustup aarch64-linux-gnu-gcc
	rustup target add $(CROSS)
	$(CARGO) check $(CARGO_FLAGS) --lib --target $(CROSS)

install: dist
	$(INSTALL)

uninstall:
	$(INSTALL) --remove

# What is linked in and under which licences; `deny.toml` says which may be. Minutes, for which `make test-packages` need not
# ask: it looks whether THIRD-PARTY is of the crates of Cargo.lock.
CARGO_ABOUT_VERSION := 0.9.3
licences: $(TOOLS)/bin/cargo-about
	$(TOOLS)/bin/cargo-about generate --locked -c packaging/licences/about.toml packaging/licences/about.hbs -o THIRD-PARTY
	$(PYTHON) packaging/check_licences.py --append

$(TOOLS)/bin/cargo-about:
	$(CARGO) install cargo-about --version $(CARGO_ABOUT_VERSION) --locked --features cli --root $(TOOLS)

# Which licences and sources there may be, and which advisories there are.
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/bin/cargo-deny
deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check -D warnings licenses bans sources
	@if $(CARGO_DENY) fetch db >/dev/null 2>&1; then $(CARGO_DENY) --locked check advisories; \
	else echo "make deny: advisories were not checked: their database cannot be fetched here"; fi

$(CARGO_DENY):
	$(CARGO) install cargo-deny --version $(CARGO_DENY_VERSION) --locked --root $(TOOLS)

test-install: dist
	@scripts/need-tools gcc g++ clang clang++ cmake pkg-config abidiff
	$(PYTHON) packaging/test_install.py --build $(CARGO_TARGET_DIR)/test_install
	$(PYTHON) packaging/test_abi.py --library $(DIST)/librds.so

# The release that the library is built on: its libraries need no other glibc.
SUITE ?= $(shell sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
PACKAGES := build/packages
test-packages: export COMPRESSION = -Zgzip -z1
test-packages: dist $(VENV)/.packaging-tools
	@scripts/need-tools cmake debootstrap unshare
	$(PYTHON) packaging/check_licences.py
	$(PY) packaging/test_recipes.py
	rm -rf $(PACKAGES) && mkdir -p $(PACKAGES)
	packaging/deb $(PACKAGES) $(SUITE) >$(PACKAGES)/log || { tail -n 30 $(PACKAGES)/log; exit 1; }
	cp packaging/try_debs.py packaging/checks.py docs/guide/programs/* THIRD-PARTY $(PACKAGES)
	packaging/root $(SUITE) $(PACKAGES) python3 try_debs.py

test-wheel: wheel
	@scripts/need-tools debootstrap unshare
	packaging/test_wheel $(PY) bullseye bookworm

# One site: Doxygen's pages beside those of Sphinx, which link into them. A warning is an error.
DOCS_VENV := .venv-docs
SITE := build/docs
docs: export RDS_VERSION = $(shell sed -n 's/^\#define RDS_VERSION_STRING "\(.*\)"/\1/p' include/rds.h)
docs: export RDS_SITE = $(SITE)
docs: $(DOCS_VENV)/.installed
	@scripts/need-tools doxygen
	rm -rf $(SITE) $(SITE)/../doctrees
	mkdir -p $(SITE)
	doxygen docs/Doxyfile
	test ! -e include/rds.hpp || doxygen docs/Doxyfile.cpp
	$(DOCS_VENV)/bin/python -m sphinx -q -W --keep-going -d $(SITE)/../doctrees -D c_tags=$(SITE)/../c.tag docs $(SITE)
	@echo "The site is $(SITE)/index.html"

$(DOCS_VENV)/.installed: docs/requirements.txt
	@scripts/need-tools $(PYTHON)
	@test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV) || scripts/need-tools python3-venv
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

header: $(CBINDGEN) build
	$(PYTHON) c_tests/arrange_header.py --cbindgen $(CBINDGEN) --output include/rds.h
	$(PYTHON) c_tests/check_header.py --library $(LIBRARY) --header include/rds.h \
	  --symbols include/rds.symbols --write-symbols

# Not `cargo clippy`, which would check all of Lance first: this lints our crate against what is built.
lint: | $(VENV)/.build-tools
	$(CARGO) fmt --all --check
	RUSTC_WORKSPACE_WRAPPER=clippy-driver $(CARGO) rustc $(CARGO_FLAGS) --lib --crate-type rlib -- \
	  --deny warnings -C opt-level=0

$(CBINDGEN):
	$(CARGO) install cbindgen --version $(CBINDGEN_VERSION) --locked --root $(TOOLS)

# What the build of the library needs from PyPI.
$(VENV)/.build-tools: python_ctypes/build-requirements.txt
	@scripts/need-tools $(PYTHON) cargo cc
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || scripts/need-tools python3-venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# The package itself, with what its tests and the demo need.
$(VENV)/.installed: python_ctypes/pyproject.toml python_ctypes/setup.py | $(VENV)/.build-tools
	@echo "Installing the Python packages of the demo and the tests into $(VENV)"
	$(PY) -m pip install --quiet --disable-pip-version-check --editable "./python_ctypes[test,demo]"
	@touch $@

clean:
	rm -rf $(VENV) $(TORCH_VENV) $(DOCS_VENV) $(DIST) build demo_output
