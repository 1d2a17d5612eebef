# Mission Control. Targets: all (default), test, asan, tsan, fuzz, install, clean. `make help` lists them.
# Out of tree: everything made is below $(OUT). MODE=asan or MODE=tsan builds into a folder of its own.

MODE    ?=
OUT     := build$(if $(MODE),-$(MODE))
VERSION := 0.1.0
PREFIX  ?= /usr/local
WERROR  ?= -Werror
CC      := $(if $(filter tsan,$(MODE)),clang,gcc)

CFLAGS_      := -O2 -fno-omit-frame-pointer -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CFLAGS_asan  := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DMC_SANITIZED
CFLAGS_tsan  := -O1 -fno-omit-frame-pointer -fsanitize=thread -DMC_SANITIZED
LDFLAGS_     := -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen,--as-needed
LDFLAGS_asan := -fsanitize=address,undefined
CFLAGS_cov   := -O0 --coverage -fprofile-update=atomic
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_cov  := --coverage
# What ThreadSanitizer must not report is in one file, and in every program: no test has to hand it on by its environment.
TSAN_SUPP    := $(if $(filter tsan,$(MODE)),$(OUT)/tests/tsan.o)

HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE \
          -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing \
          -ffile-prefix-map=$(CURDIR)=.
WARN   := -Wall -Wextra -Wpedantic -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wvla -Wnull-dereference \
          -Wimplicit-fallthrough -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
          -Werror=implicit -Werror=int-conversion -Werror=incompatible-pointer-types -Werror=format-security $(WERROR)
ifeq ($(CC),gcc)
HARDEN += -ftrivial-auto-var-init=zero
# (clang sees the casts inside the INIT macros of generated headers as ours)
WARN   += -Wcast-qual -Wtrampolines -Wbidi-chars=any -Warith-conversion -Wduplicated-cond
endif

# Generated protobuf code and llhttp are not ours: they are compiled with THIRD, included with -isystem.
# -MD, not -MMD: the generated headers come by -isystem, and what includes them must be made anew when a schema changes.
CPPFLAGS = -D_GNU_SOURCE -DMC_VERSION='"$(VERSION)"' -MD -MP -Icommon -isystem $(OUT)/gen
CFLAGS   = -g -std=c17 $(HARDEN) $(WARN) $(CFLAGS_$(MODE))
THIRD    = -g -std=c17 $(HARDEN) $(CFLAGS_$(MODE))
LDFLAGS  = -pie $(LDFLAGS_$(MODE))

# What each program links, and nothing more.
PKG_common  := libuv libprotobuf-c jansson libsodium libsystemd
PKG_broker  := lmdb libxxhash
PKG_gateway := openssl
PKG_worker  := libcurl
PKG_mcctl   := libuv libprotobuf-c jansson libsodium libcurl
# nng stays a shared library: common/bus.c stands in front of two of its functions.
LIBS_broker  := $(shell pkg-config --libs $(PKG_common) $(PKG_broker)) -lnng -lpthread
LIBS_gateway := $(shell pkg-config --libs $(PKG_common) $(PKG_gateway)) -lnng -lpthread
LIBS_worker  := $(shell pkg-config --libs $(PKG_common) $(PKG_worker)) -lnng -lpthread
LIBS_mcctl   := $(shell pkg-config --libs $(PKG_mcctl)) -lm -lpthread

# `make V=1` shows the whole commands.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@;)

LLHTTP := /usr/share/llhttp
PROGRAMS := mc-broker mc-gateway mc-worker
BINS := $(PROGRAMS:%=$(OUT)/bin/%) $(OUT)/bin/mcctl
GENERATORS := $(addprefix $(OUT)/bench/,sse put first beanwork)
MADE := $(OUT)/mcctl.1 $(OUT)/mcctl.bash $(OUT)/mcctl.zsh

.SECONDARY:
.SECONDEXPANSION:
.DELETE_ON_ERROR:
.PHONY: all help asan tsan unit test check fuzz faults crash bench bench-quick bench-scale sim sim-bite storage storage-tools powercut conformance mutants install deb clean coverage analyze tsan-proc

all: $(BINS) $(MADE) $(OUT)/bench/fill $(GENERATORS)

help:
	@echo 'make            the programs, into $(OUT)/bin'
	@echo 'make unit       the unit and scenario tests'
	@echo 'make check      every test (the same as tools/check)'
	@echo 'make asan tsan  the programs and tests with sanitizers, into build-asan, build-tsan'
	@echo 'make fuzz       fuzz targets (clang, libFuzzer), into build-fuzz; FUZZ_SECONDS=60 each, or RUNS=10000000 executions'
	@echo 'make faults     programs that can be made to die at named points, into $(OUT)/faults/bin'
	@echo 'make crash      kills under load (KILLS=100, SEED=), and the history of it judged'
	@echo 'make bench      the figures of the performance section, each beside its peer; bench-quick: in two minutes'
	@echo 'make sim        the simulator, sanitized: SEEDS=500 FIRST=1 OUT=build-asan; SEED=n [V=1]: that one alone [and all that happens]'
	@echo 'make sim-bite   that it finds every deliberate defect'
	@echo 'make conformance  HTTP by the sections of its RFCs, beside nginx; behind nginx and haproxy (ONLY=text: some of it)'
	@echo 'make coverage   lines and branches of the parsers, checks, states and framing, with the gate (gcov)'
	@echo 'make analyze    cppcheck, gcc -fanalyzer, clang-tidy and the clang analyzer, against the reviewed baselines'
	@echo 'make tsan-proc  the process tests under ThreadSanitizer (about half an hour)'
	@echo 'make bench-scale  what 10 million events cost against 10 thousand (SCALE=full; less by default)'
	@echo 'make storage    failing disks: I/O errors, power cuts, full disks, damage (IMAGES=, MUTANTS=, SYNCS=, ROUNDS=)'
	@echo 'make powercut   the power cuts alone (IMAGES=10000)'
	@echo 'make mutants    a build for each of many mistakes, and what notices it (ONLY=names)'
	@echo 'make install    DESTDIR= PREFIX=$(PREFIX)'
	@echo 'make deb        a Debian package and the list of what it is made with (CycloneDX), into $(OUT)'

objs = $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard $(1)/*.c)))

# --- generated
$(OUT)/gen/%.pb-c.c $(OUT)/gen/%.pb-c.h &: common/%.proto
	@mkdir -p $(OUT)/gen
	$(call say,PROTO)protoc-c --proto_path=common --c_out=$(OUT)/gen $<
$(OUT)/gen/record.pb-c.c $(OUT)/gen/record.pb-c.h &: broker/record.proto
	@mkdir -p $(OUT)/gen
	$(call say,PROTO)protoc-c --proto_path=broker --c_out=$(OUT)/gen $<
$(OUT)/gen/%.o: $(OUT)/gen/%.c
	$(call say,CC)$(CC) -D_GNU_SOURCE -I$(OUT)/gen $(THIRD) -c -o $@ $<
$(OUT)/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -I/usr/share/include/llhttp $(THIRD) -Wno-unused -c -o $@ $<

# The description of the API: joined, and then taken into an object as it is.
OPENAPI := gateway/openapi/head.json $(sort $(wildcard gateway/openapi/paths/*.json)) gateway/openapi/components.json
$(OUT)/gen/openapi.json: gateway/openapi/join.awk $(OPENAPI) Makefile
	@mkdir -p $(@D)
	$(call say,JOIN)LC_ALL=C awk -v version=$(VERSION) -f $< $(OPENAPI) >$@
$(OUT)/gateway/openapi_text.o: $(OUT)/gen/openapi.json
$(OUT)/gateway/openapi_text.o: CPPFLAGS_gateway = -DOPENAPI_JSON='"$(OUT)/gen/openapi.json"'

GEN_H := $(OUT)/gen/wire.pb-c.h $(OUT)/gen/record.pb-c.h

# --- ours
$(OUT)/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CPPFLAGS_$(firstword $(subst /, ,$*))) $(CFLAGS) -c -o $@ $<
CPPFLAGS_gateway := -isystem /usr/share/include/llhttp
# The folders a test links come first: two of them may have a header of the same name.
CPPFLAGS_tests    = $(patsubst %,-I%,$(subst mcctl,tools/mcctl,$(filter broker gateway worker mcctl,$(shell sed -n '1s,^// links: *,,p' $<)))) \
                    -Ibroker -Igateway -Iworker -Itests/lib -Itests/bench/load -isystem /usr/share/include/llhttp

$(OUT)/lib%.a: $$(filter-out $(OUT)/$$*/main.o,$$(call objs,$$*))
	@rm -f $@
	$(call say,AR)ar rcs $@ $^

$(OUT)/libmcctl.a: $(filter-out $(OUT)/tools/mcctl/main.o,$(call objs,tools/mcctl))
	@rm -f $@
	$(call say,AR)ar rcs $@ $^

GEN_common  := $(OUT)/gen/wire.pb-c.o
GEN_broker  := $(OUT)/gen/record.pb-c.o
GEN_gateway := $(OUT)/llhttp/api.o $(OUT)/llhttp/http.o $(OUT)/llhttp/llhttp.o
GEN_worker  :=
GEN_mcctl   :=

$(TSAN_SUPP): tests/tsan.supp
$(BINS) $(OUT)/bench/fill: $(TSAN_SUPP)
$(OUT)/bin/mc-%: $(OUT)/%/main.o $(OUT)/lib%.a $(OUT)/libcommon.a $(GEN_common) $$(GEN_$$*)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_$*)

$(OUT)/bin/mcctl: $(OUT)/tools/mcctl/main.o $(OUT)/libmcctl.a $(OUT)/libcommon.a $(GEN_common)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_mcctl)
# Programs that can be made to die at named points (common/fault.h): what passes a point is compiled again, the rest is the same.
FAULT_SRC := $(sort common/fault.c $(shell grep -l '"fault.h"' $(foreach d,common broker gateway worker,$(wildcard $(d)/*.c))))
FAULT_OBJ := $(FAULT_SRC:%.c=$(OUT)/faults/%.o)
$(OUT)/faults/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) -DMC_FAULTS $(CPPFLAGS_$(firstword $(subst /, ,$*))) $(CFLAGS) -c -o $@ $<
$(OUT)/faults/bin/mc-%: $(OUT)/bin/mc-% $(FAULT_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter $(OUT)/faults/$*/%.o $(OUT)/faults/common/%.o,$^) \
	    $(if $(filter $*/main.c,$(FAULT_SRC)),,$(OUT)/$*/main.o) $(OUT)/lib$*.a $(OUT)/libcommon.a $(GEN_common) $(GEN_$*) $(LIBS_$*)
faults: $(PROGRAMS:%=$(OUT)/faults/bin/%) $(OUT)/crash/clock.so $(OUT)/crash/older

# Its manual page and completions are made from its own table of commands.
$(OUT)/mcctl.1: $(OUT)/bin/mcctl
	$(call say,MADE)$< man >$@
$(OUT)/mcctl.bash $(OUT)/mcctl.zsh: $(OUT)/mcctl.%: $(OUT)/bin/mcctl
	$(call say,MADE)$< completion $* >$@

# --- tests. A unit test names the archives it may use in its first line:  // links: broker lmdb
UNIT := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
$(UNIT): $(TSAN_SUPP)
unit_word  = $(shell sed -n '1s,^// links: *,,p' tests/unit/$(1).c)
unit_libs  = $(foreach w,$(filter common broker gateway worker mcctl,$(call unit_word,$(1))),$(OUT)/lib$(w).a $(GEN_$(w)))
unit_flags = $(foreach w,$(filter-out common broker gateway worker mcctl fail_%,$(call unit_word,$(1))),-l$(w)) \
             $(foreach w,$(filter fail_%,$(call unit_word,$(1))),$(patsubst %,-Wl$(comma)--wrap=%,$(WRAP_$(w))))
comma := ,
# What a test may make fail, by the words of its first line: tests/lib/fail_*.h.
WRAP_fail_alloc := malloc calloc realloc
WRAP_fail_store := mdb_get mdb_put mdb_del mdb_cursor_open mdb_cursor_get mdb_cursor_put mdb_cursor_del arena_alloc
$(OUT)/tests/%: $(OUT)/tests/unit/%.o $$(call objs,tests/lib) $$(call unit_libs,$$*)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(TSAN_SUPP) $(call objs,tests/lib) -Wl,--start-group $(call unit_libs,$*) -Wl,--end-group $(call unit_flags,$*) -lcmocka

# The simulator: the programs' own objects over an in-memory bus, engine, clock and loop, which have the names of the real ones and
# so keep those in their archives. The worker's objects have their fault points. Both broker/hook.c and worker/hook.c have a hooks_new.
SIM_WORKER := link job job_fsm output hook hook_msg chat_msg driver
$(OUT)/sim/worker-%.o: $(OUT)/$$(if $$(filter worker/$$*.c,$$(FAULT_SRC)),faults/)worker/%.o
	@mkdir -p $(@D)
	$(call say,COPY)objcopy --redefine-sym hooks_new=worker_hooks_new $< $@
$(OUT)/sim/sim: $$(call objs,tests/sim) $(SIM_WORKER:%=$(OUT)/sim/worker-%.o) $(OUT)/gateway/ask.o $(OUT)/libbroker.a $(OUT)/libcommon.a $(GEN_common) $(GEN_broker)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs libprotobuf-c jansson libsodium lmdb libxxhash) -lpthread
ifeq ($(MODE),)
sim sim-bite:
	@$(MAKE) --no-print-directory -s MODE=asan $(if $(filter command line,$(origin OUT)),OUT=$(OUT),OUT=build-asan) $@
else
sim: $(OUT)/sim/sim
	@$(OUT)/sim/sim --list tests/sim/seeds $(if $(SEED),--seed $(SEED) $(if $(V),--verbose),--seeds $(or $(SEEDS),500) --first $(or $(FIRST),1))
sim-bite: $(OUT)/sim/sim
	@$(OUT)/sim/sim --bite
endif

unit: $(UNIT)
	@tools/run-unit $(UNIT)
test: unit
check:
	tools/check
asan tsan:
	UNIT_SECONDS=600 $(MAKE) MODE=$@ all unit
coverage:
	tools/coverage
analyze:
	tools/analyze
tsan-proc:
	nice tools/check tsan
fuzz:
	tools/fuzz $(if $(RUNS),--runs $(RUNS))
# Kills under load, and whether what clients saw holds together: tests/crash/driver. KILLS=100, SEED= of another run to repeat it.
crash: all faults
	MC_BUILD=$(abspath $(OUT)) tests/crash/driver --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))
$(OUT)/crash/%: $(OUT)/tests/crash/%.o $(OUT)/libbroker.a $(OUT)/libcommon.a $(GEN_common) $(GEN_broker)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_broker)
# Each figure beside its peer's, into $(OUT)/bench/report.md; quick: the same rows, short, into report-quick.md.
bench bench-quick:
	tools/deps build bench
	$(MAKE) -s all
	MC_BUILD=$(abspath $(OUT)) tests/bench/run $(if $(filter %-quick,$@),--quick)
# Without what it is compared with (tools/deps bench says why it cannot be had) it runs alone, and says so.
conformance: all
	tools/deps bench || true
	MC_BUILD=$(abspath $(OUT)) tests/conformance/run $(if $(ONLY),--only '$(ONLY)')
# SCALE=small (default) or full: the same questions to a small and to a large store.
bench-scale: all $(OUT)/bench/fill
	tests/bench/scale
$(GENERATORS): $(OUT)/bench/%: $(OUT)/tests/bench/%.o $(call objs,tests/bench/load)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^
$(OUT)/bench/%: $(OUT)/tests/bench/%.o $(OUT)/libbroker.a $(OUT)/libcommon.a $(GEN_common) $(GEN_broker)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_broker)
# --- what disks do (tests/crash/storage_*): a shim that lets writes fail and records them, and tools that open what is left
STORAGE := $(OUT)/crash/shim_storage.so $(OUT)/crash/storage_probe $(OUT)/crash/storage_damage $(OUT)/crash/storage_spool
storage-tools: all $(OUT)/bench/fill $(STORAGE)
# IMAGES, MUTANTS, SYNCS, ROUNDS: how many of each (tests/crash/storage says what they are)
storage: storage-tools
	MC_BUILD=$(abspath $(OUT)) tests/crash/storage --images $(or $(IMAGES),10000) --mutants $(or $(MUTANTS),2000) --syncs $(or $(SYNCS),200) --rounds $(or $(ROUNDS),50)
powercut: storage-tools
	MC_BUILD=$(abspath $(OUT)) tests/crash/storage --only powercut --images $(or $(IMAGES),10000)
$(OUT)/crash/%.so: tests/crash/%.c
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) -D_GNU_SOURCE -g -std=c17 -O2 $(WARN) -fPIC -shared -o $@ $< -ldl -lpthread
$(OUT)/crash/storage_spool: $(OUT)/tests/crash/storage_spool.o $(OUT)/libworker.a $(OUT)/libcommon.a $(GEN_common)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_worker)
# Known mistakes, each of which must be noticed: tests/mutants/run says how.
mutants:
	MC_BUILD=$(abspath $(OUT)) tests/mutants/run $(ONLY)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -d $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 0644 $(OUT)/mcctl.1 $(DESTDIR)$(PREFIX)/share/man/man1/mcctl.1
	install -m 0644 $(OUT)/mcctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mcctl
	install -m 0644 $(OUT)/mcctl.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_mcctl
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	for unit in systemd/*.service systemd/*.socket; do \
	    sed 's,/usr/local/bin,$(PREFIX)/bin,' $$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit#systemd/} || exit 1; done
	install -m 0644 systemd/mission-control.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/mission-control.conf
deb: all
	tools/deb $(OUT)
clean:
	rm -rf build build-asan build-tsan build-cov build-fuzz

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
