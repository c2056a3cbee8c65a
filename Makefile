# The commands of the README. Everything that they download or make is under
# target/ (XLFS_LAB_CACHE moves the lab's part of it, XLFS_STORE the builder's).

CARGO ?= cargo
TARGET := target/x86_64-unknown-linux-gnu
LAB := $(TARGET)/release/lab
export XLFS_LAB_CACHE ?= $(CURDIR)/target/lab
# What the builder has built. Root's builds run as another user, who could not enter
# a checkout in root's home, so root's results lie where a system keeps such things.
ifeq ($(shell id -u),0)
export XLFS_STORE ?= /var/cache/xlfs/store
else
export XLFS_STORE ?= $(CURDIR)/target/store
endif

.PHONY: all install-missing build demo test unit conformance e2e images bench lint

all: build

# What a Debian machine needs to build xlfs and to run its lab.
install-missing:
	@tests/install-missing

build: install-missing
	$(CARGO) build --release --workspace --bins

# Boots real Xen, makes a guest, shows it, and gives a Dom0 shell on a terminal.
demo: build
	$(LAB) demo

# Everything: what needs no Xen, the real xenstored, and real Xen in QEMU.
test: install-missing unit conformance e2e

unit:
	$(CARGO) test --workspace

conformance: build
	tests/conformance $(LAB)

e2e: build
	$(LAB) e2e

# The images minimal and dom0 from source, with a compiler from source (or
# XLFS_TOOLCHAIN=host), into target/images, and proven in QEMU. Hours the first time.
images: build
	tests/make-images $(TARGET)/release

# xlfs beside xl on the same Xen, the same guest, in one run.
bench: build
	$(LAB) bench

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
